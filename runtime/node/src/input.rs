use crate::Fault;
use arrow_array::{Array, ArrayRef};
use gantry_messages::{Message, decode, encode};

/// One message that arrived.
#[derive(Clone, Debug)]
pub struct Input {
    /// Input id in the graph, e.g. `frames_cam0`.
    pub id: String,
    /// Port of the contract, e.g. `frames`.
    pub port: String,
    array: ArrayRef,
}

impl Input {
    pub(crate) fn new(id: String, port: String, array: ArrayRef) -> Self {
        Self { id, port, array }
    }

    /// A message as it would arrive, for tests.
    ///
    /// # Panics
    /// If the rows cannot be encoded, which is a bug in their type.
    pub fn of<T: Message>(port: &str, rows: &[T]) -> Self {
        match encode(rows) {
            Ok(array) => Self { id: port.to_owned(), port: port.to_owned(), array },
            Err(e) => panic!("rows of {}: {e}", T::TYPE),
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.array.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.array.is_empty()
    }

    /// The message as it came, for nodes that pass it on.
    pub fn array(&self) -> &ArrayRef {
        &self.array
    }

    /// The rows.
    ///
    /// # Errors
    /// If the message is of another type; says which column differs.
    pub fn rows<T: Message>(&self) -> Result<Vec<T>, Fault> {
        decode(&self.array).map_err(|e| {
            Fault::from(e)
                .context(format!("input `{}`", self.id))
                .hint("connect an output of that message type; `gantry check` shows the types of every edge")
        })
    }
}
