//! Rows of Arrow's IPC files and streams (Feather, version 2, and what `datasets` saves).

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, StructArray};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::{Message, root_as_message};
use arrow_schema::DataType;
use serde_json::{Map, Value, json};

use super::{cell, most_bytes, most_rows};
use crate::row::{Place, Row};

/// What an IPC file begins and ends with. Between the two is a stream, padded to [`ALIGNMENT`], and an index that is not needed.
const MAGIC: &[u8] = b"ARROW1";
const ALIGNMENT: usize = 8;
/// Stands before a message's length.
const CONTINUATION: &[u8] = &[0xff; 4];

/// Every row of a file with an index of its batches.
pub(super) fn read_file(path: &Path, bytes: &[u8]) -> Result<Vec<Row>> {
    match bytes.get(ALIGNMENT..).filter(|rest| rest.ends_with(MAGIC)) {
        Some(stream) => read_stream(path, stream),
        None => bail!("{}: the Arrow file has no end", path.display()),
    }
}

/// Every row of a stream. A damaged batch ends it: its rows cannot be counted.
pub(super) fn read_stream(path: &Path, stream: &[u8]) -> Result<Vec<Row>> {
    if !lengths_are_sound(stream) {
        bail!("{}: the Arrow file is damaged: it claims more than it can hold", path.display());
    }
    let most = most_rows(stream.len());
    let reader = StreamReader::try_new(stream, None)
        .with_context(|| format!("{}: cannot read it as Arrow", path.display()))?;
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch
            .map_err(|error| anyhow!("{}: behind row {}: {error}", path.display(), rows.len()))?;
        let table = StructArray::from(batch);
        if rows.len().saturating_add(table.len()) > most {
            bail!("{}: the file is damaged: it has fewer bytes than rows", path.display());
        }
        for index in 0..table.len() {
            let place = Place::row(path, rows.len() + 1);
            rows.push(Row { fields: Ok(fields(&table, index)), place });
        }
    }
    Ok(rows)
}

/// Whether the compressed buffers claim no more than a stream of this length can hold. What else is wrong is left to the reader.
fn lengths_are_sound(mut stream: &[u8]) -> bool {
    let most = most_bytes(stream.len());
    let mut claimed: u64 = 0;
    while let Some((message, body, rest)) = message(stream) {
        let batch = message.header_as_record_batch();
        let batch = batch.or_else(|| message.header_as_dictionary_batch()?.data());
        let buffers = batch.filter(|batch| batch.compression().is_some());
        let buffers = buffers.and_then(|batch| batch.buffers());
        let length = |offset: i64| {
            let prefix = body.get(usize::try_from(offset).ok()?..)?.first_chunk()?;
            Some(i64::from_le_bytes(*prefix))
        };
        let lengths = buffers.into_iter().flatten().filter_map(|b| length(b.offset()));
        // A length below 0 says that the buffer is not compressed.
        let lengths = lengths.filter_map(|length| u64::try_from(length).ok());
        claimed = lengths.fold(claimed, u64::saturating_add);
        if claimed > most {
            return false;
        }
        stream = rest;
    }
    true
}

/// The stream's first message, its body and what comes behind; `None` at the end, and where there is none.
fn message(stream: &[u8]) -> Option<(Message<'_>, &[u8], &[u8])> {
    let stream = stream.strip_prefix(CONTINUATION).unwrap_or(stream);
    let (length, stream) = stream.split_first_chunk()?;
    let length = usize::try_from(i32::from_le_bytes(*length)).ok()?;
    let (message, stream) = stream.split_at_checked(length)?;
    let message = root_as_message(message).ok()?;
    let (body, rest) = stream.split_at_checked(usize::try_from(message.bodyLength()).ok()?)?;
    Some((message, body, rest))
}

fn fields(table: &StructArray, index: usize) -> Map<String, Value> {
    let names = table.fields().iter().map(|field| field.name().clone());
    names.zip(table.columns().iter().map(|column| value(column, index))).collect()
}

/// The value at an index. One of a type that no text, number or list has says its type alone.
fn value(array: &dyn Array, index: usize) -> Value {
    if array.is_null(index) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => array.as_boolean().value(index).into(),
        DataType::Int8 => array.as_primitive::<Int8Type>().value(index).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(index).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(index).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(index).into(),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(index).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(index).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(index).into(),
        DataType::UInt64 => array.as_primitive::<UInt64Type>().value(index).into(),
        DataType::Float16 => cell::float16(array.as_primitive::<Float16Type>().value(index)),
        DataType::Float32 => cell::float32(array.as_primitive::<Float32Type>().value(index)),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(index).into(),
        DataType::Utf8 => array.as_string::<i32>().value(index).into(),
        DataType::LargeUtf8 => array.as_string::<i64>().value(index).into(),
        DataType::Utf8View => array.as_string_view().value(index).into(),
        DataType::Binary => cell::bytes(array.as_binary::<i32>().value(index)),
        DataType::LargeBinary => cell::bytes(array.as_binary::<i64>().value(index)),
        DataType::BinaryView => cell::bytes(array.as_binary_view().value(index)),
        DataType::FixedSizeBinary(_) => cell::bytes(array.as_fixed_size_binary().value(index)),
        DataType::List(_) => list(&array.as_list::<i32>().value(index)),
        DataType::LargeList(_) => list(&array.as_list::<i64>().value(index)),
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(index)),
        DataType::Struct(_) => Value::Object(fields(array.as_struct(), index)),
        DataType::Map(..) => map(&array.as_map().value(index)),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let key = value(dictionary.keys(), index).as_u64();
            let key = key.and_then(|key| usize::try_from(key).ok());
            key.map_or(Value::Null, |key| value(dictionary.values(), key))
        }
        other => json!({ "unread": other.to_string() }),
    }
}

fn list(items: &dyn Array) -> Value {
    (0..items.len()).map(|index| value(items, index)).collect()
}

fn map(entries: &StructArray) -> Value {
    let [keys, values] = entries.columns() else { return Value::Null };
    let entry = |index| {
        let key = match value(keys, index) {
            Value::String(key) => key,
            key => key.to_string(),
        };
        (key, value(values, index))
    };
    (0..entries.len()).map(entry).collect()
}
