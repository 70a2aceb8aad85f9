//! The front door: TLS, host to tenant's socket.
