//! A pickle of tensors, read without running what it calls: of all that Python can name, only what `torch.save` needs for
//! tensors is known here, and everything else is refused by its name.

use std::collections::HashMap;

use crate::dtype::Dtype;
use crate::parameters::element_type::ElementType;

/// What is said once may be used often: these bound what each use takes.
const MOST_DIMENSIONS: usize = 8;
const LONGEST_NAME: usize = 512;

/// A list of numbers beside the pickle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Storage {
    /// Its name in the archive.
    pub key: String,
    pub element: ElementType,
    pub count: usize,
}

/// A strided view of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    pub storage: Storage,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// What Python may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Global {
    OrderedDict,
    RebuildTensor,
    RebuildParameter,
    Storage(ElementType),
}

impl Global {
    fn of(module: &str, name: &str) -> Result<Self, String> {
        let own = |dtype| Self::Storage(ElementType::Own(dtype));
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "FloatStorage") => own(Dtype::Float32),
            ("torch", "HalfStorage") => own(Dtype::Float16),
            ("torch", "BFloat16Storage") => own(Dtype::BFloat16),
            ("torch", "DoubleStorage") => Self::Storage(ElementType::Float64),
            ("torch", name) if name.ends_with("Storage") => {
                return Err(format!("tensors of torch.{name} are not supported"));
            }
            _ => return Err(format!("it asks for {module}.{name}, which is not run")),
        })
    }
}

/// A value; others are named by where they are in [`Machine::nodes`], so that no nesting is too deep to be dropped.
#[derive(Debug, Clone)]
enum Node {
    /// Nothing that a tensor needs: `None`, floats, lists.
    Other,
    Integer(i64),
    Text(String),
    Tuple(Vec<u32>),
    Dict(Vec<(u32, u32)>),
    Global(Global),
    Storage(Storage),
    Tensor(Box<View>),
}

/// What is left to read of the pickle, and Python's stack.
struct Machine<'a> {
    bytes: &'a [u8],
    nodes: Vec<Node>,
    stack: Vec<u32>,
    marks: Vec<usize>,
    memo: HashMap<u32, u32>,
}

/// The tensors of a pickled dictionary, by name.
///
/// # Errors
/// Says what is wrong.
pub(super) fn tensors(bytes: &[u8]) -> Result<Vec<(String, View)>, String> {
    let mut machine = Machine {
        bytes,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let top = machine.run()?;
    let Node::Dict(entries) = machine.node(top)? else {
        return Err("the whole is not a dictionary of tensors".to_owned());
    };
    let mut tensors = Vec::new();
    for &(name, value) in entries {
        let name = machine.name(name)?;
        match machine.node(value)? {
            Node::Tensor(view) => tensors.push((name.to_owned(), (**view).clone())),
            _ => return Err(format!("{name}: not a tensor")),
        }
    }
    Ok(tensors)
}

impl Machine<'_> {
    /// Runs to the end; returns the result.
    fn run(&mut self) -> Result<u32, String> {
        loop {
            let code = self.take::<1>()?[0];
            match code {
                b'.' => return self.pop(),
                0x80 => _ = self.take::<1>()?,
                0x95 => _ = self.take::<8>()?,
                b'(' => self.marks.push(self.stack.len()),
                b'N' | b']' => self.push(Node::Other),
                0x88 => self.push(Node::Integer(1)),
                0x89 => self.push(Node::Integer(0)),
                b'K' => self.number::<1>(u64::from_le_bytes)?,
                b'M' => self.number::<2>(u64::from_le_bytes)?,
                b'J' => {
                    let number = i32::from_le_bytes(self.take()?);
                    self.push(Node::Integer(number.into()));
                }
                0x8a => self.long()?,
                b'G' => {
                    self.take::<8>()?;
                    self.push(Node::Other);
                }
                0x8c => {
                    let length = self.take::<1>()?[0];
                    self.push_text(length.into())?;
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.take()?);
                    self.push_text(length as usize)?;
                }
                b')' => self.push(Node::Tuple(Vec::new())),
                0x85..=0x87 => {
                    let count = usize::from(code - 0x84);
                    let at = self.stack.len().checked_sub(count).ok_or("a tuple of too few")?;
                    let items = self.stack.split_off(at);
                    self.push(Node::Tuple(items));
                }
                b't' => {
                    let items = self.marked()?;
                    self.push(Node::Tuple(items));
                }
                b'}' => self.push(Node::Dict(Vec::new())),
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.fill(&[key, value])?;
                }
                b'u' => {
                    let items = self.marked()?;
                    self.fill(&items)?;
                }
                // Items of lists, and what a dictionary carries beside its entries, such as the versions of modules.
                b'a' | b'b' => _ = self.pop()?,
                b'e' => _ = self.marked()?,
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Node::Global(Global::of(&module, &name)?));
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let global = Global::of(self.text(module)?, self.text(name)?)?;
                    self.push(Node::Global(global));
                }
                b'q' => {
                    let place = self.take::<1>()?[0];
                    self.remember(place.into())?;
                }
                b'r' => {
                    let place = u32::from_le_bytes(self.take()?);
                    self.remember(place)?;
                }
                0x94 => self.remember(self.memo.len() as u32)?,
                b'h' => {
                    let place = self.take::<1>()?[0];
                    self.recall(place.into())?;
                }
                b'j' => {
                    let place = u32::from_le_bytes(self.take()?);
                    self.recall(place)?;
                }
                b'Q' => self.storage()?,
                b'R' => self.reduce()?,
                other => return Err(format!("pickle code {other:#04x} is not supported")),
            }
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or("the pickle is cut off")?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn slice(&mut self, count: usize) -> Result<&[u8], String> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or("the pickle is cut off")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn line(&mut self) -> Result<String, String> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n');
        let line = String::from_utf8_lossy(self.slice(end.ok_or("the pickle is cut off")?)?);
        let line = line.into_owned();
        self.take::<1>()?;
        Ok(line)
    }

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len() as u32);
        self.nodes.push(node);
    }

    fn number<const N: usize>(&mut self, read: fn([u8; 8]) -> u64) -> Result<(), String> {
        let mut whole = [0; 8];
        whole[..N].copy_from_slice(&self.take::<N>()?);
        self.push(Node::Integer(read(whole).cast_signed()));
        Ok(())
    }

    /// An integer of any length; one that no size can be is as good as nothing.
    fn long(&mut self) -> Result<(), String> {
        let length = usize::from(self.take::<1>()?[0]);
        let bytes = self.slice(length)?;
        let mut whole = [0; 8];
        let node = if length <= 7 {
            whole[..length].copy_from_slice(bytes);
            Node::Integer(i64::from_le_bytes(whole))
        } else {
            Node::Other
        };
        self.push(node);
        Ok(())
    }

    fn push_text(&mut self, length: usize) -> Result<(), String> {
        let text = String::from_utf8_lossy(self.slice(length)?).into_owned();
        self.push(Node::Text(text));
        Ok(())
    }

    fn pop(&mut self) -> Result<u32, String> {
        self.stack.pop().ok_or_else(|| "the pickle takes more than it has".to_owned())
    }

    /// What lies above the last mark.
    fn marked(&mut self) -> Result<Vec<u32>, String> {
        match self.marks.pop().filter(|mark| *mark <= self.stack.len()) {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => Err("the pickle has no mark".to_owned()),
        }
    }

    fn remember(&mut self, place: u32) -> Result<(), String> {
        let top = *self.stack.last().ok_or("nothing to remember")?;
        self.memo.insert(place, top);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Result<(), String> {
        self.stack.push(*self.memo.get(&place).ok_or("nothing was remembered there")?);
        Ok(())
    }

    fn node(&self, at: u32) -> Result<&Node, String> {
        self.nodes.get(at as usize).ok_or_else(|| "the pickle has too many values".to_owned())
    }

    fn text(&self, at: u32) -> Result<&str, String> {
        match self.node(at)? {
            Node::Text(text) => Ok(text),
            _ => Err("a name is not a text".to_owned()),
        }
    }

    /// A text of which there may be many copies.
    fn name(&self, at: u32) -> Result<&str, String> {
        match self.text(at)? {
            name if name.len() > LONGEST_NAME => Err(format!("a name of {} bytes", name.len())),
            name => Ok(name),
        }
    }

    fn size(&self, at: u32) -> Result<usize, String> {
        match self.node(at)? {
            Node::Integer(size) if *size >= 0 => Ok(*size as usize),
            _ => Err("a size is not a whole number".to_owned()),
        }
    }

    fn tuple(&self, at: u32) -> Result<&[u32], String> {
        match self.node(at)? {
            Node::Tuple(items) => Ok(items),
            _ => Err("arguments are not a tuple".to_owned()),
        }
    }

    fn sizes(&self, at: u32) -> Result<Vec<usize>, String> {
        match self.tuple(at)? {
            sizes if sizes.len() > MOST_DIMENSIONS => Err(format!("{} dimensions", sizes.len())),
            sizes => sizes.iter().map(|&size| self.size(size)).collect(),
        }
    }

    /// Puts keys and values by turns into the dictionary on top.
    fn fill(&mut self, items: &[u32]) -> Result<(), String> {
        let top = *self.stack.last().ok_or("nothing to fill")?;
        let Some(Node::Dict(entries)) = self.nodes.get_mut(top as usize) else {
            return Err("what is filled is not a dictionary".to_owned());
        };
        let (pairs, rest) = items.as_chunks::<2>();
        entries.extend(pairs.iter().map(|&[key, value]| (key, value)));
        if rest.is_empty() { Ok(()) } else { Err("a key has no value".to_owned()) }
    }

    /// `('storage', torch.FloatStorage, key, device, count)` names a list of numbers in the archive.
    fn storage(&mut self) -> Result<(), String> {
        let told = self.pop()?;
        let &[_, kind, key, _, count] = self.tuple(told)? else {
            return Err("a storage is not told in five parts".to_owned());
        };
        let Node::Global(Global::Storage(element)) = *self.node(kind)? else {
            return Err("a storage has no element type".to_owned());
        };
        let key = self.name(key)?.to_owned();
        let count = self.size(count)?;
        self.push(Node::Storage(Storage { key, element, count }));
        Ok(())
    }

    /// Calls what is below the arguments.
    fn reduce(&mut self) -> Result<(), String> {
        let (arguments, called) = (self.pop()?, self.pop()?);
        let Node::Global(called) = *self.node(called)? else {
            return Err("what is called is no function".to_owned());
        };
        let arguments = self.tuple(arguments)?;
        let node = match (called, arguments) {
            (Global::OrderedDict, []) => Node::Dict(Vec::new()),
            (Global::RebuildTensor, &[storage, offset, shape, strides, ..]) => {
                let Node::Storage(storage) = self.node(storage)? else {
                    return Err("a tensor has no storage".to_owned());
                };
                Node::Tensor(Box::new(View {
                    storage: storage.clone(),
                    offset: self.size(offset)?,
                    shape: self.sizes(shape)?,
                    strides: self.sizes(strides)?,
                }))
            }
            (Global::RebuildParameter, &[tensor, ..]) => self.node(tensor)?.clone(),
            _ => return Err(format!("{called:?} has other arguments than tensors have")),
        };
        self.push(node);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_no_tensor_is_refused_by_its_name_and_not_run() {
        for (pickle, words) in [
            (&b"\x80\x02cos\nsystem\nX\x04\0\0\0exit\x85R."[..], "os.system, which is not run"),
            (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval, which is not run"),
            (
                b"ctorch.storage\n_load_from_bytes\n.",
                "torch.storage._load_from_bytes, which is not run",
            ),
            (b"ctorch\nLongStorage\n.", "tensors of torch.LongStorage are not supported"),
            (b"cos\nsystem", "cut off"),
            (b"X\xff\xff\xff\xffa.", "cut off"),
            (b"h\x05.", "nothing was remembered"),
            (b"u.", "no mark"),
            (b"i.", "pickle code 0x69"),
            (b"].", "not a dictionary of tensors"),
            (b"}X\x01\0\0\0aK\x01s.", "a: not a tensor"),
            (b"}(X\x01\0\0\0au.", "a key has no value"),
            (b"ccollections\nOrderedDict\nK\x01\x85R.", "other arguments"),
        ] {
            let error = tensors(pickle).unwrap_err();
            assert!(error.contains(words), "{words}: {error}");
        }
        // No nesting is too deep, and nothing that is said once is copied without end.
        let deep = [&b")".repeat(100_000)[..], &b"\x85".repeat(100_000), b"."].concat();
        assert!(tensors(&deep).is_err());
        assert_eq!(tensors(b"}q\x00h\x00."), Ok(Vec::new()));
    }
}
