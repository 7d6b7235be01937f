//! The door as a client sees it: requests through axum's router, and over a socket.

mod auth;
mod changes;
mod commits;
mod databases;
mod door;
mod events;
mod holds;
mod node;
mod not_ready;
mod once;
mod openapi;
mod query;
mod script;
mod tokens;
mod write;
