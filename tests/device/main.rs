//! Paged caches, plans and the reference device, from outside.

mod cases;
mod lmcache;
mod planes;
mod probe;
mod reference;
mod streams;
