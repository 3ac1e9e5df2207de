//! The parts of the official Arrow crates that tables are made of, in the versions that this crate uses.

pub use arrow_array as array;
pub use arrow_buffer as buffer;
pub use arrow_schema as schema;
pub use arrow_select as select;
