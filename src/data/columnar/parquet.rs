//! Rows of Parquet files, through the record reader: Arrow's arrays would need most of another crate.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use parquet::file::reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row as Record};
use serde_json::{Map, Value};

use super::{cell, claims, most_rows};
use crate::row::{Place, Row};

/// Every row. A damaged page ends the file: where the next row begins is not known.
pub(super) fn read(path: &Path, bytes: Vec<u8>) -> Result<Vec<Row>> {
    claims::check(&bytes)
        .map_err(|fault| anyhow!("{}: cannot read it as Parquet: {fault}", path.display()))?;
    let most = most_rows(bytes.len());
    let reader = SerializedFileReader::new(Bytes::from(bytes))
        .with_context(|| format!("{}: cannot read it as Parquet", path.display()))?;
    let mut rows = Vec::new();
    for (index, record) in RowIter::from_file_into(Box::new(reader)).enumerate() {
        let place = Place::row(path, index + 1);
        if index == most {
            bail!("{place}: the file is damaged: it has fewer bytes than rows");
        }
        let record = record.map_err(|error| anyhow!("{place}: {error}"))?;
        rows.push(Row { fields: Ok(fields(&record)), place });
    }
    Ok(rows)
}

fn fields(record: &Record) -> Map<String, Value> {
    record.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect()
}

fn value(field: &Field) -> Value {
    match field {
        Field::Float(number) => cell::float32(*number),
        Field::Float16(number) => cell::float16(*number),
        Field::Bytes(bytes) => cell::bytes(bytes.data()),
        Field::Group(record) => Value::Object(fields(record)),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => {
            let entry = |(key, of_key): &(Field, Field)| {
                let key = match value(key) {
                    Value::String(key) => key,
                    key => key.to_string(),
                };
                (key, value(of_key))
            };
            map.entries().iter().map(entry).collect()
        }
        other => other.to_json_value(),
    }
}
