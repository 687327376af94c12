//! The messages of TensorBoard's events that a run writes (`event.proto`, `summary.proto`, `tensor.proto` of TensorFlow).

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// A writer began, or went on.
#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionLog {
    /// [`START`].
    #[prost(int32, tag = "1")]
    pub status: i32,
}

/// The status of a session that begins: what stands at its step or later is of a writer that was lost.
pub(super) const START: i32 = 1;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<Metadata>,
    #[prost(oneof = "Shown", tags = "2, 8")]
    pub shown: Option<Shown>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Shown {
    /// A scalar as the first TensorFlow wrote it, the form that all readers keep the most of.
    #[prost(float, tag = "2")]
    Scalar(f32),
    #[prost(message, tag = "8")]
    Tensor(Tensor),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub plugin: Option<Plugin>,
    /// [`TENSOR`].
    #[prost(int32, tag = "4")]
    pub class: i32,
}

/// The class of what is shown as a tensor.
const TENSOR: i32 = 2;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Plugin {
    #[prost(string, tag = "1")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Tensor {
    /// 2 of doubles, 7 of strings.
    #[prost(int32, tag = "1")]
    pub dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
    #[prost(double, repeated, tag = "6")]
    pub doubles: Vec<f64>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub strings: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Shape {
    #[prost(message, repeated, tag = "2")]
    pub dimensions: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Dimension {
    #[prost(int64, tag = "1")]
    pub size: i64,
}

impl Value {
    pub fn scalar(tag: &str, value: f64) -> Self {
        Self { tag: tag.into(), metadata: None, shown: Some(Shown::Scalar(value as f32)) }
    }

    /// A histogram: of each bucket its lower and upper end and how many numbers are in it.
    pub fn histogram(tag: &str, buckets: &[[f64; 3]]) -> Self {
        let doubles = buckets.as_flattened().to_vec();
        let dimensions = [buckets.len(), 3].map(|size| Dimension { size: size as i64 });
        let shape = Some(Shape { dimensions: dimensions.into() });
        Self::tensor(tag, "histograms", Tensor { dtype: 2, shape, doubles, ..Tensor::default() })
    }

    /// A text in Markdown.
    pub fn text(tag: &str, text: &str) -> Self {
        let (shape, strings) = (Some(Shape::default()), vec![text.as_bytes().to_vec()]);
        Self::tensor(tag, "text", Tensor { dtype: 7, shape, strings, ..Tensor::default() })
    }

    fn tensor(tag: &str, plugin: &str, tensor: Tensor) -> Self {
        let plugin = Some(Plugin { name: plugin.into() });
        let metadata = Some(Metadata { plugin, class: TENSOR });
        Self { tag: tag.into(), metadata, shown: Some(Shown::Tensor(tensor)) }
    }
}
