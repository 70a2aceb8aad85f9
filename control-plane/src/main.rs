//! Entry point.
fn main() {
    // Before anything that could start a thread.
    control_plane::hosts::local::become_spawner_if_asked();
}
