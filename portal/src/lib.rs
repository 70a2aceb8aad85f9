//! The provider's pages, forms and mails; no database and no HTTP server.
