//! Columns of a message by name, so that an error names the one that is wrong.

use crate::Message;
use crate::codec::MessageError;
use arrow_array::cast::AsArray;
use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, StringArray, StructArray};

/// The columns of an array that is to hold rows of one message type.
pub(crate) struct Columns<'a> {
    array: &'a StructArray,
    message: &'static str,
}

impl<'a> Columns<'a> {
    pub(crate) fn of<T: Message>(array: &'a StructArray) -> Self {
        Self { array, message: T::TYPE }
    }

    fn get(&self, name: &str) -> Result<&'a ArrayRef, MessageError> {
        match self.array.column_by_name(name) {
            Some(column) if column.null_count() == 0 => Ok(column),
            Some(_) => Err(self.error(format!("column `{name}` has nulls"))),
            None => Err(self.error(format!("column `{name}` is missing"))),
        }
    }

    fn typed<T>(&self, name: &str, cast: impl Fn(&'a ArrayRef) -> Option<T>) -> Result<T, MessageError> {
        let column = self.get(name)?;
        cast(column).ok_or_else(|| self.error(format!("column `{name}` is {}", column.data_type())))
    }

    pub(crate) fn numbers<T: ArrowPrimitiveType>(&self, name: &str) -> Result<&'a PrimitiveArray<T>, MessageError> {
        self.typed(name, |column| column.as_primitive_opt::<T>())
    }

    pub(crate) fn texts(&self, name: &str) -> Result<&'a StringArray, MessageError> {
        self.typed(name, |column| column.as_string_opt::<i32>())
    }

    pub(crate) fn flags(&self, name: &str) -> Result<&'a BooleanArray, MessageError> {
        self.typed(name, |column| column.as_boolean_opt())
    }

    pub(crate) fn bytes(&self, name: &str) -> Result<&'a BinaryArray, MessageError> {
        self.typed(name, |column| column.as_binary_opt::<i32>())
    }

    pub(crate) fn fixed_bytes(&self, name: &str) -> Result<&'a FixedSizeBinaryArray, MessageError> {
        self.typed(name, |column| column.as_fixed_size_binary_opt())
    }

    pub(crate) fn error(&self, found: String) -> MessageError {
        MessageError::Schema { wanted: self.message, found }
    }
}
