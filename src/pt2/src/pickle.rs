//! A recogniser of the pickles that `torch.save` writes for tensors and plain containers.
//!
//! Python's `pickle` is a program that calls whatever it names; this is not an interpreter of that program. It
//! follows the opcodes that hold data (protocol 2, as `torch.save` writes it), builds a passive tree of
//! [`Object`]s, and keeps every "call this" as an [`Object::Call`] of a name that nobody resolves. Every other
//! opcode is refused by name. What the calls may mean is decided by the reader of the tree ([`crate::torch_save`]),
//! which knows a handful of names.

use std::collections::BTreeMap;

use crate::limits;

/// Why a pickle is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PickleError {
    /// The bytes end inside an opcode, or before `STOP`.
    #[error("the pickle ends at byte {at}, in the middle of {what}")]
    Truncated {
        /// Offset in bytes.
        at: usize,
        /// What was being read.
        what: &'static str,
    },
    /// An opcode that the pickles of tensors do not need.
    #[error("the pickle has the opcode {name} at byte {at}, which saved tensors do not need; it is not followed")]
    Opcode {
        /// Offset in bytes.
        at: usize,
        /// Python's name of it, or its number.
        name: String,
    },
    /// An opcode on a stack that does not hold what it needs.
    #[error("the pickle is malformed at byte {at}: {reason}")]
    Malformed {
        /// Offset in bytes.
        at: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// More objects than [`limits::MAX_PICKLE_OBJECTS`].
    #[error("the pickle has more than {} objects", limits::MAX_PICKLE_OBJECTS)]
    TooManyObjects,
    /// More bytes than [`limits::MAX_PICKLE_BYTES`].
    #[error("the pickle has {size} bytes; at most {} are read", limits::MAX_PICKLE_BYTES)]
    TooLarge {
        /// Its size.
        size: usize,
    },
}

/// An object of a pickle by its position in [`Pickle::objects`]. Objects can be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId(u32);

/// A passive object.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// `None`
    None,
    /// A bool.
    Bool(bool),
    /// An int of at most 64 bits.
    Int(i64),
    /// A float.
    Float(f64),
    /// A string.
    Str(String),
    /// A tuple.
    Tuple(Vec<ObjectId>),
    /// A list.
    List(Vec<ObjectId>),
    /// A dict, in insertion order.
    Dict(Vec<(ObjectId, ObjectId)>),
    /// A name that the pickle refers to, such as `torch._utils._rebuild_tensor_v2`. Never resolved.
    Global(String),
    /// "Call this with these arguments" (`REDUCE`); `items` and `state` are what the pickle then sets on the result.
    Call {
        /// What is named; usually a [`Object::Global`].
        callee: ObjectId,
        /// A tuple.
        args: ObjectId,
        /// Items set on the result, for dict-like classes.
        items: Vec<(ObjectId, ObjectId)>,
        /// The object that `BUILD` sets as its state.
        state: Option<ObjectId>,
    },
    /// A persistent id: in `torch.save` files the description of a storage.
    Persistent(ObjectId),
}

/// A parsed pickle.
#[derive(Clone, Debug)]
pub struct Pickle {
    objects: Vec<Object>,
    root: ObjectId,
}

impl Pickle {
    /// Parses the bytes of one pickle.
    ///
    /// # Errors
    /// [`PickleError`].
    pub fn parse(bytes: &[u8]) -> Result<Pickle, PickleError> {
        if bytes.len() > limits::MAX_PICKLE_BYTES {
            return Err(PickleError::TooLarge { size: bytes.len() });
        }
        Machine { bytes, at: 0, objects: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: BTreeMap::new() }.run()
    }

    /// The pickled object.
    pub fn root(&self) -> ObjectId {
        self.root
    }

    /// An object.
    pub fn get(&self, id: ObjectId) -> &Object {
        self.objects.get(id.0 as usize).unwrap_or(&Object::None)
    }

    /// Every name that the pickle refers to, in order, each once.
    pub fn globals(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for object in &self.objects {
            if let Object::Global(name) = object
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        }
        names
    }
}

struct Machine<'b> {
    bytes: &'b [u8],
    at: usize,
    objects: Vec<Object>,
    stack: Vec<ObjectId>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: BTreeMap<u32, ObjectId>,
}

impl Machine<'_> {
    fn run(mut self) -> Result<Pickle, PickleError> {
        loop {
            let start = self.at;
            let [code] = self.take::<1>("an opcode")?;
            match code {
                // PROTO: the number says which opcodes may follow; each is judged by itself.
                0x80 => {
                    self.take::<1>("PROTO")?;
                }
                b'.' => {
                    let root = self.pop(start)?;
                    return Ok(Pickle { objects: self.objects, root });
                }
                b'(' => self.marks.push(self.stack.len()),
                b'N' => self.push(Object::None)?,
                0x88 => self.push(Object::Bool(true))?,
                0x89 => self.push(Object::Bool(false))?,
                b'K' => {
                    let [byte] = self.take::<1>("BININT1")?;
                    self.push(Object::Int(i64::from(byte)))?;
                }
                b'M' => {
                    let value = u16::from_le_bytes(self.take("BININT2")?);
                    self.push(Object::Int(i64::from(value)))?;
                }
                b'J' => {
                    let value = i32::from_le_bytes(self.take("BININT")?);
                    self.push(Object::Int(i64::from(value)))?;
                }
                0x8a => self.long(start)?,
                b'G' => {
                    let value = f64::from_be_bytes(self.take("BINFLOAT")?);
                    self.push(Object::Float(value))?;
                }
                b'X' => {
                    let length = u32::from_le_bytes(self.take("BINUNICODE")?);
                    self.text(start, length as usize)?;
                }
                0x8c => {
                    let [length] = self.take::<1>("SHORT_BINUNICODE")?;
                    self.text(start, usize::from(length))?;
                }
                b')' => self.push(Object::Tuple(Vec::new()))?,
                b']' => self.push(Object::List(Vec::new()))?,
                b'}' => self.push(Object::Dict(Vec::new()))?,
                b't' => {
                    let items = self.pop_mark(start)?;
                    self.push(Object::Tuple(items))?;
                }
                0x85..=0x87 => {
                    let count = usize::from(code - 0x84);
                    let from = self.stack.len().checked_sub(count).filter(|&from| from >= self.floor());
                    let from =
                        from.ok_or(PickleError::Malformed { at: start, reason: "a tuple of too few objects" })?;
                    let items = self.stack.split_off(from);
                    self.push(Object::Tuple(items))?;
                }
                b'a' => {
                    let item = self.pop(start)?;
                    self.extend_list(start, vec![item])?;
                }
                b'e' => {
                    let items = self.pop_mark(start)?;
                    self.extend_list(start, items)?;
                }
                b's' => {
                    let value = self.pop(start)?;
                    let key = self.pop(start)?;
                    self.extend_dict(start, vec![(key, value)])?;
                }
                b'u' => {
                    let items = self.pop_mark(start)?;
                    if items.len() % 2 != 0 {
                        return Err(PickleError::Malformed { at: start, reason: "a key without a value" });
                    }
                    let pairs = items.chunks_exact(2).filter_map(|p| Some((*p.first()?, *p.get(1)?))).collect();
                    self.extend_dict(start, pairs)?;
                }
                b'q' => {
                    let [index] = self.take::<1>("BINPUT")?;
                    self.put(start, u32::from(index))?;
                }
                b'r' => {
                    let index = u32::from_le_bytes(self.take("LONG_BINPUT")?);
                    self.put(start, index)?;
                }
                b'h' => {
                    let [index] = self.take::<1>("BINGET")?;
                    self.recall(start, u32::from(index))?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(self.take("LONG_BINGET")?);
                    self.recall(start, index)?;
                }
                b'c' => {
                    let module = self.line(start)?;
                    let name = self.line(start)?;
                    self.push(Object::Global(format!("{module}.{name}")))?;
                }
                b'R' => {
                    let args = self.pop(start)?;
                    let callee = self.pop(start)?;
                    self.push(Object::Call { callee, args, items: Vec::new(), state: None })?;
                }
                b'b' => {
                    let new = self.pop(start)?;
                    match self.top_mut(start)? {
                        Object::Call { state, .. } => *state = Some(new),
                        _ => return Err(PickleError::Malformed { at: start, reason: "BUILD of a plain value" }),
                    }
                }
                b'Q' => {
                    let id = self.pop(start)?;
                    self.push(Object::Persistent(id))?;
                }
                other => return Err(PickleError::Opcode { at: start, name: opcode_name(other) }),
            }
        }
    }

    fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], PickleError> {
        let bytes = self.at.checked_add(N).and_then(|end| self.bytes.get(self.at..end));
        let array = bytes.and_then(|bytes| bytes.try_into().ok());
        let array = array.ok_or(PickleError::Truncated { at: self.at, what })?;
        self.at += N;
        Ok(array)
    }

    fn text(&mut self, start: usize, length: usize) -> Result<(), PickleError> {
        let bytes = self.at.checked_add(length).and_then(|end| self.bytes.get(self.at..end));
        let bytes = bytes.ok_or(PickleError::Truncated { at: self.at, what: "a string" })?;
        // Python writes lone surrogates as well (`surrogatepass`); no name has them.
        let text = std::str::from_utf8(bytes)
            .map_err(|_| PickleError::Malformed { at: start, reason: "a string that is not UTF-8" })?
            .to_owned();
        self.at += length;
        self.push(Object::Str(text))
    }

    /// An int of any length; those above 64 bits are refused.
    fn long(&mut self, start: usize) -> Result<(), PickleError> {
        let [length] = self.take::<1>("LONG1")?;
        let length = usize::from(length);
        let bytes = self.at.checked_add(length).and_then(|end| self.bytes.get(self.at..end));
        let bytes = bytes.ok_or(PickleError::Truncated { at: self.at, what: "LONG1" })?;
        if length > 8 {
            return Err(PickleError::Malformed { at: start, reason: "an int of more than 64 bits" });
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut value = [if negative { 0xff } else { 0 }; 8];
        for (to, from) in value.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.at += length;
        self.push(Object::Int(i64::from_le_bytes(value)))
    }

    fn line(&mut self, start: usize) -> Result<String, PickleError> {
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        let length = rest.iter().take(limits::MAX_ENTRY_NAME).position(|&byte| byte == b'\n');
        let length = length.ok_or(PickleError::Truncated { at: self.at, what: "GLOBAL" })?;
        let text = rest.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let text = text.ok_or(PickleError::Malformed { at: start, reason: "a name that is not UTF-8" })?.to_owned();
        self.at += length + 1;
        Ok(text)
    }

    fn push(&mut self, object: Object) -> Result<(), PickleError> {
        let id = u32::try_from(self.objects.len()).ok().filter(|&id| (id as usize) < limits::MAX_PICKLE_OBJECTS);
        let id = ObjectId(id.ok_or(PickleError::TooManyObjects)?);
        self.objects.push(object);
        self.stack.push(id);
        Ok(())
    }

    /// Below this height the stack belongs to an open mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self, at: usize) -> Result<ObjectId, PickleError> {
        if self.stack.len() <= self.floor() {
            return Err(PickleError::Malformed { at, reason: "an empty stack" });
        }
        self.stack.pop().ok_or(PickleError::Malformed { at, reason: "an empty stack" })
    }

    fn pop_mark(&mut self, at: usize) -> Result<Vec<ObjectId>, PickleError> {
        let height = self.marks.pop().ok_or(PickleError::Malformed { at, reason: "no mark" })?;
        if height > self.stack.len() {
            return Err(PickleError::Malformed { at, reason: "a mark above the stack" });
        }
        Ok(self.stack.split_off(height))
    }

    fn top_mut(&mut self, at: usize) -> Result<&mut Object, PickleError> {
        let empty = PickleError::Malformed { at, reason: "an empty stack" };
        if self.stack.len() <= self.floor() {
            return Err(empty);
        }
        let top = self.stack.last().copied();
        top.and_then(|id| self.objects.get_mut(id.0 as usize)).ok_or(empty)
    }

    fn extend_list(&mut self, at: usize, new: Vec<ObjectId>) -> Result<(), PickleError> {
        match self.top_mut(at)? {
            Object::List(items) => items.extend(new),
            _ => return Err(PickleError::Malformed { at, reason: "items for something that is no list" }),
        }
        Ok(())
    }

    fn extend_dict(&mut self, at: usize, new: Vec<(ObjectId, ObjectId)>) -> Result<(), PickleError> {
        match self.top_mut(at)? {
            Object::Dict(items) | Object::Call { items, .. } => items.extend(new),
            _ => return Err(PickleError::Malformed { at, reason: "items for something that is no dict" }),
        }
        Ok(())
    }

    fn put(&mut self, at: usize, index: u32) -> Result<(), PickleError> {
        let empty = PickleError::Malformed { at, reason: "an empty stack" };
        if self.stack.len() <= self.floor() {
            return Err(empty);
        }
        let top = self.stack.last().copied().ok_or(empty)?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, at: usize, index: u32) -> Result<(), PickleError> {
        let id = self.memo.get(&index).copied();
        let id = id.ok_or(PickleError::Malformed { at, reason: "a memo entry that was never set" })?;
        // Bounds the stack like the objects: every opcode is at least one byte, but a reference makes no object.
        if self.stack.len() >= limits::MAX_PICKLE_OBJECTS {
            return Err(PickleError::TooManyObjects);
        }
        self.stack.push(id);
        Ok(())
    }
}

/// Python's name of an opcode that is not followed.
fn opcode_name(code: u8) -> String {
    let name = match code {
        b'0' => "POP",
        b'1' => "POP_MARK",
        b'2' => "DUP",
        b'F' => "FLOAT",
        b'I' => "INT",
        b'L' => "LONG",
        b'P' => "PERSID",
        b'S' => "STRING",
        b'T' => "BINSTRING",
        b'U' => "SHORT_BINSTRING",
        b'V' => "UNICODE",
        b'd' => "DICT",
        b'g' => "GET",
        b'i' => "INST",
        b'l' => "LIST",
        b'o' => "OBJ",
        b'p' => "PUT",
        0x81 => "NEWOBJ",
        0x82 => "EXT1",
        0x83 => "EXT2",
        0x84 => "EXT4",
        0x8b => "LONG4",
        0x8d => "BINUNICODE8",
        0x8e => "BINBYTES8",
        0x8f => "EMPTY_SET",
        0x90 => "ADDITEMS",
        0x91 => "FROZENSET",
        0x92 => "NEWOBJ_EX",
        0x93 => "STACK_GLOBAL",
        0x94 => "MEMOIZE",
        0x95 => "FRAME",
        0x96 => "BYTEARRAY8",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        b'B' => "BINBYTES",
        b'C' => "SHORT_BINBYTES",
        other => return format!("0x{other:02x}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_read() {
        // pickle.dumps({"a": [1, 300, -7, 2.5, True, None], "b": (2**40, ())}, protocol=2)
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01M,\x01J\xf9\xff\xff\xffG@\x04\x00\x00\x00\x00\x00\x00\x88NeX\x01\x00\x00\x00bq\x03\x8a\x06\x00\x00\x00\x00\x00\x01)\x86q\x04u.";
        let pickle = Pickle::parse(bytes).expect("parses");
        let Object::Dict(items) = pickle.get(pickle.root()) else { panic!("no dict") };
        let Object::List(list) = pickle.get(items[0].1) else { panic!("no list") };
        let list: Vec<&Object> = list.iter().map(|&id| pickle.get(id)).collect();
        assert_eq!(
            list,
            [
                &Object::Int(1),
                &Object::Int(300),
                &Object::Int(-7),
                &Object::Float(2.5),
                &Object::Bool(true),
                &Object::None
            ]
        );
        let Object::Tuple(pair) = pickle.get(items[1].1) else { panic!("no tuple") };
        assert_eq!(pickle.get(pair[0]), &Object::Int(1 << 40));
    }

    #[test]
    fn a_call_is_kept_and_not_made() {
        // pickle.dumps(os.system) with an argument, as an attack would have it.
        let pickle = Pickle::parse(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R.").expect("parses");
        assert_eq!(pickle.globals(), ["posix.system"]);
        assert!(matches!(pickle.get(pickle.root()), Object::Call { .. }));
    }

    #[test]
    fn other_opcodes_are_refused_by_name() {
        for (bytes, name) in
            [(&b"\x80\x02)\x81."[..], "NEWOBJ"), (b"\x80\x04\x95", "FRAME"), (b"(iposix\nsystem\n.", "INST")]
        {
            let error = Pickle::parse(bytes).expect_err(name);
            assert!(matches!(&error, PickleError::Opcode { name: found, .. } if found == name), "{error}");
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        let whole = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01u.";
        for length in 0..whole.len() {
            assert!(Pickle::parse(&whole[..length]).is_err(), "{length}");
        }
        for bytes in [&b"."[..], b"u.", b"(.", b"h\x00.", b"K\x01(R.", b"K\x01K\x02a.", b"\x85.", b"N(\x85."] {
            assert!(matches!(Pickle::parse(bytes), Err(PickleError::Malformed { .. })), "{bytes:?}");
        }
    }
}
