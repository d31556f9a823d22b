//! Text as programs.

use super::lex::{Cursor, TextError};
use super::{data, print::is_op_char};
use crate::dim::{Dim, ParseError, Pred, Symbol, parse_plain, parse_plain_pred};
use crate::{
    Arg, Constraint, DType, DimOrder, Fact, Graph, InputKind, InputSpec, Location, LocationId, NodeId, OutputKind,
    OutputSpec, Program, TensorData, TensorEntry, TensorRole, TreeSpec, ValueId,
};
use indexmap::IndexMap;

/// Bytes of text that are read.
const MAX_TEXT: usize = 1 << 28;
/// Nesting of graphs in arguments.
const MAX_GRAPHS: usize = 16;
/// Nesting of input and output trees.
const MAX_TREE: usize = 100;

/// Reads the text form of a program.
///
/// # Errors
/// The place where the text is no program, and what was expected there. That the program means something is the
/// verifier's to say: the text may name operators that do not exist or state wrong facts.
pub fn parse(text: &str) -> Result<Program, TextError> {
    let mut parser = Parser { at: Cursor::new(text), locations: IndexMap::new(), graphs: 0 };
    if text.len() > MAX_TEXT {
        return Err(parser.at.error_at(0, format!("the text has more than {MAX_TEXT} bytes")));
    }
    parser.program()
}

struct Parser<'t> {
    at: Cursor<'t>,
    /// Locations by the number they have in the text.
    locations: IndexMap<u32, LocationId>,
    /// Graphs that are open.
    graphs: usize,
}

/// The nodes of the graph that is being read, by name.
type Names = IndexMap<String, NodeId>;

type Result<T, E = TextError> = std::result::Result<T, E>;

impl Parser<'_> {
    fn program(&mut self) -> Result<Program> {
        let mut program = Program::default();
        self.at.expect_word("program")?;
        program.name = self.at.string("the program's name in quotes")?;
        loop {
            if self.at.peek_word() == "graph" {
                break;
            }
            self.header(&mut program)?;
        }
        program.graph = self.graph()?;
        if self.at.at_end() { Ok(program) } else { Err(self.at.expected("the end of the text")) }
    }

    /// One line before the graph.
    fn header(&mut self, program: &mut Program) -> Result<()> {
        match self.at.peek_word() {
            "symbol" => self.symbol(program),
            "assume" => {
                self.at.expect_word("assume")?;
                let pred = self.pred(&[])?;
                program.scope.assume(pred);
                Ok(())
            }
            "constraint" => {
                self.at.expect_word("constraint")?;
                let pred = self.pred(&[':'])?;
                self.at.expect(":")?;
                let rule = self.at.string("the rule in quotes")?;
                program.constraints.push(Constraint { pred, rule });
                Ok(())
            }
            "parameter" | "buffer" | "transient" | "constant" => self.tensor(program),
            "input" => self.input(program),
            "output" => self.output(program),
            "input_tree" => {
                self.at.expect_word("input_tree")?;
                program.signature.input_tree = Some(self.tree(0)?);
                Ok(())
            }
            "output_tree" => {
                self.at.expect_word("output_tree")?;
                program.signature.output_tree = Some(self.tree(0)?);
                Ok(())
            }
            "pairs" => self.pairs(program),
            "location" => self.location(program),
            _ => Err(self.at.expected(
                "`symbol`, `assume`, `constraint`, `parameter`, `buffer`, `transient buffer`, `constant`, `input`, \
                 `output`, `input_tree`, `output_tree`, `pairs`, `location` or `graph`",
            )),
        }
    }

    fn symbol(&mut self, program: &mut Program) -> Result<()> {
        self.at.expect_word("symbol")?;
        let symbol = self.at.name("a symbol")?;
        self.at.expect_word("in")?;
        let min = self.bound("the least value or `..`")?;
        self.at.expect("..")?;
        let max = self.bound("the greatest value")?;
        program.scope.declare(symbol, min, max);
        Ok(())
    }

    fn bound(&mut self, what: &str) -> Result<Option<i64>> {
        let number = self.at.peek().is_some_and(|c| c == '-' || c.is_ascii_digit());
        if number { self.at.integer(what).map(Some) } else { Ok(None) }
    }

    fn tensor(&mut self, program: &mut Program) -> Result<()> {
        let role = if self.at.eat_word("parameter") {
            TensorRole::Parameter
        } else if self.at.eat_word("constant") {
            TensorRole::Constant
        } else {
            let persistent = !self.at.eat_word("transient");
            self.at.expect_word("buffer")?;
            TensorRole::Buffer { persistent }
        };
        let start = self.at.position();
        let name = self.at.string("the tensor's name in quotes")?;
        self.at.expect(":")?;
        let fact = self.fact()?;
        let data = if self.at.eat("=") { Some(self.elements(&fact)?) } else { None };
        if program.tensors.insert(name.clone(), TensorEntry { role, fact, data }).is_some() {
            return Err(self.at.error_at(start, format!("a second tensor of the name {name:?}")));
        }
        Ok(())
    }

    fn elements(&mut self, fact: &Fact) -> Result<TensorData> {
        self.at.skip();
        let start = self.at.position();
        self.at.expect("[")?;
        let (mut bytes, mut count) = (Vec::new(), 0usize);
        while !self.at.eat("]") {
            if count > 0 {
                self.at.expect(",")?;
            }
            let (text, at) = self.at.raw(&[',', ']']);
            data::parse(fact.dtype, text, &mut bytes).ok_or_else(|| {
                self.at.error_at(at, format!("expected an element of type {}, found `{text}`", fact.dtype))
            })?;
            count += 1;
        }
        let sizes = fact.static_shape().and_then(|s| s.into_iter().map(|n| usize::try_from(n).ok()).collect());
        let sizes: Vec<usize> = sizes.ok_or_else(|| self.at.error_at(start, format!("{fact} is no shape of data")))?;
        let numel = sizes.iter().try_fold(1usize, |n, s| n.checked_mul(*s));
        if numel != Some(count) {
            return Err(self.at.error_at(start, format!("{count} elements for a tensor {fact}")));
        }
        TensorData::dense(fact.dtype, sizes, bytes).map_err(|e| self.at.error_at(start, e.to_string()))
    }

    fn input(&mut self, program: &mut Program) -> Result<()> {
        self.at.expect_word("input")?;
        let name = self.at.string("the input's name in quotes")?;
        self.at.expect(":")?;
        let kind = match self.at.peek_word() {
            "tensor" => {
                self.at.expect_word("tensor")?;
                InputKind::Tensor
            }
            "int" => {
                self.at.expect_word("int")?;
                InputKind::SymInt(Symbol::from(self.at.name("a symbol")?))
            }
            "constant" => {
                self.at.expect_word("constant")?;
                InputKind::Constant(self.arg(&Graph::new(), &Names::new())?)
            }
            _ => return Err(self.at.expected("`tensor`, `int` or `constant`")),
        };
        program.signature.inputs.push(InputSpec { name, kind });
        Ok(())
    }

    fn output(&mut self, program: &mut Program) -> Result<()> {
        self.at.expect_word("output")?;
        let name = self.at.string("the output's name in quotes")?;
        self.at.expect(":")?;
        let word = self.at.peek_word();
        let known = ["user", "buffer_mutation", "input_mutation", "loss", "gradient_of_parameter", "gradient_of_input"];
        if !known.contains(&word) {
            return Err(self.at.expected(&format!("one of {}", known.map(|k| format!("`{k}`")).join(", "))));
        }
        self.at.expect_word(word)?;
        let kind = match word {
            "buffer_mutation" => OutputKind::BufferMutation(self.at.string("a buffer's name in quotes")?),
            "input_mutation" => OutputKind::InputMutation(self.at.number("the input's position")?),
            "loss" => OutputKind::Loss,
            "gradient_of_parameter" => OutputKind::GradientOfParameter(self.at.string("a parameter's name in quotes")?),
            "gradient_of_input" => OutputKind::GradientOfInput(self.at.number("the input's position")?),
            _ => OutputKind::User,
        };
        program.signature.outputs.push(OutputSpec { name, kind });
        Ok(())
    }

    /// A complex tensor that the graph has as pairs.
    fn pairs(&mut self, program: &mut Program) -> Result<()> {
        self.at.expect_word("pairs")?;
        let pairs = &mut program.signature.pairs;
        match self.at.peek_word() {
            "input" => {
                self.at.expect_word("input")?;
                pairs.inputs.insert(self.at.number("the input's position")?);
            }
            "output" => {
                self.at.expect_word("output")?;
                pairs.outputs.insert(self.at.number("the output's position")?);
            }
            "tensor" => {
                self.at.expect_word("tensor")?;
                pairs.tensors.insert(self.at.string("the tensor's name in quotes")?);
            }
            _ => return Err(self.at.expected("`input`, `output` or `tensor`")),
        }
        Ok(())
    }

    fn tree(&mut self, depth: usize) -> Result<TreeSpec> {
        if depth > MAX_TREE {
            return Err(self.at.expected("a tree of fewer levels"));
        }
        let mut spec = TreeSpec::leaf();
        if !self.at.eat("*") {
            spec.kind = Some(self.at.string("`*` or a container's type in quotes")?);
        }
        if self.at.eat("{") {
            spec.context = Some(self.at.string("the container's context in quotes")?);
            self.at.expect("}")?;
        }
        if self.at.eat("(") {
            while !self.at.eat(")") {
                if !spec.children.is_empty() {
                    self.at.expect(",")?;
                }
                spec.children.push(self.tree(depth + 1)?);
            }
        } else if spec.kind.is_some() {
            return Err(self.at.expected("`(` and the container's children"));
        }
        Ok(spec)
    }

    fn location(&mut self, program: &mut Program) -> Result<()> {
        self.at.expect_word("location")?;
        let start = self.at.position();
        let number: u32 = self.at.number("the location's number")?;
        self.at.expect(":")?;
        let file = self.at.string("the file in quotes")?;
        self.at.expect(":")?;
        let line = self.at.number("the line")?;
        let mut part = |word: &str| -> Result<String> {
            self.at.expect_word(word)?;
            self.at.string(&format!("the {word} in quotes"))
        };
        let (function, code, module) = (part("function")?, part("code")?, part("module")?);
        let location = Location { file, line, function, code, module, module_class: part("class")? };
        let id = program.locations.intern(location);
        if self.locations.insert(number, id).is_some() {
            return Err(self.at.error_at(start, format!("a second location {number}")));
        }
        Ok(())
    }

    fn graph(&mut self) -> Result<Graph> {
        self.at.expect_word("graph")?;
        if self.graphs >= MAX_GRAPHS {
            return Err(self.at.expected(&format!("at most {MAX_GRAPHS} graphs within each other")));
        }
        self.graphs += 1;
        let (mut graph, mut names) = (Graph::new(), Names::new());
        self.at.expect("(")?;
        while !self.at.eat(")") {
            if !names.is_empty() {
                self.at.expect(",")?;
            }
            let name = self.new_name(&names)?;
            self.at.expect(":")?;
            let fact = self.fact()?;
            let value = graph.add_input(&name, fact);
            names.insert(name, value.node);
        }
        self.at.expect("{")?;
        while self.at.peek() == Some('%') {
            self.node(&mut graph, &mut names)?;
        }
        if !self.at.eat_word("return") {
            return Err(self.at.expected("`%` and a node's name, or `return`"));
        }
        let mut outputs = Vec::new();
        while !self.at.eat("}") {
            if !outputs.is_empty() {
                self.at.expect(",")?;
            }
            outputs.push(self.arg(&graph, &names)?);
        }
        graph.outputs = outputs;
        self.graphs -= 1;
        Ok(graph)
    }

    /// `%name` of a node that does not exist yet.
    fn new_name(&mut self, names: &Names) -> Result<String> {
        self.at.expect("%")?;
        let start = self.at.position();
        let name = self.at.name("a name")?;
        if names.contains_key(&name) {
            return Err(self.at.error_at(start, format!("a second node of the name `{name}`")));
        }
        if name.is_empty() {
            return Err(self.at.error_at(start, "a node needs a name".into()));
        }
        Ok(name)
    }

    fn node(&mut self, graph: &mut Graph, names: &mut Names) -> Result<()> {
        let name = self.new_name(names)?;
        self.at.expect(":")?;
        let mut facts = Vec::new();
        if self.at.eat("(") {
            while !self.at.eat(")") {
                if !facts.is_empty() {
                    self.at.expect(",")?;
                }
                facts.push(self.fact()?);
            }
        } else {
            facts.push(self.fact()?);
        }
        self.at.expect("=")?;
        self.at.skip();
        let start = self.at.position();
        let node = if self.at.eat_word("tensor") {
            let tensor = self.at.string("a tensor's name in quotes")?;
            let [fact] = facts.as_slice() else {
                return Err(self.at.error_at(start, "a tensor is one value".into()));
            };
            graph.add_tensor(&tensor, &name, fact.clone()).node
        } else {
            let op = self.op()?;
            let mut args = Vec::new();
            self.at.expect("(")?;
            while !self.at.eat(")") {
                if !args.is_empty() {
                    self.at.expect(",")?;
                }
                args.push(self.arg(graph, names)?);
            }
            let mut location = LocationId::UNKNOWN;
            if self.at.eat_word("loc") {
                self.at.expect("(")?;
                let at = self.at.position();
                let number: u32 = self.at.number("the location's number")?;
                let known = self.locations.get(&number).copied();
                location = known.ok_or_else(|| self.at.error_at(at, format!("no location {number} is declared")))?;
                self.at.expect(")")?;
            }
            graph.add_call(&op, args, &name, facts, location).map_err(|e| self.at.error_at(start, e.to_string()))?
        };
        names.insert(name, node);
        Ok(())
    }

    /// The name of an operator, `aten.add.Tensor` or quoted.
    fn op(&mut self) -> Result<String> {
        let what = "an operator's name, or `tensor` and a tensor's name";
        if self.at.peek() == Some('"') {
            return self.at.string(what);
        }
        let mut op = self.at.word(what)?.to_string();
        while self.at.eat(".") {
            op.push('.');
            op.push_str(self.at.word("the next part of the operator's name")?);
        }
        if op.chars().all(is_op_char) {
            return Err(self.at.expected("`.` and the next part of the operator's name"));
        }
        Ok(op)
    }

    fn fact(&mut self) -> Result<Fact> {
        self.at.skip();
        let start = self.at.position();
        let word = self.at.word("an element type (`f32`, `i64`, …)")?;
        let dtype: DType = word.parse().map_err(|()| {
            self.at.error_at(start, format!("expected an element type (`f32`, `i64`, …), found `{word}`"))
        })?;
        self.at.expect("[")?;
        let mut shape = Vec::new();
        while !self.at.eat("]") {
            if !shape.is_empty() {
                self.at.expect(",")?;
            }
            shape.push(self.dim(&[',', ']'])?);
        }
        let mut fact = Fact::new(dtype, shape);
        if self.at.eat("@") {
            let start = self.at.position();
            self.at.expect("[")?;
            let mut order: Vec<usize> = Vec::new();
            while !self.at.eat("]") {
                if !order.is_empty() {
                    self.at.expect(",")?;
                }
                order.push(self.at.number("a dimension")?);
            }
            let fits = order.len() == fact.rank();
            fact.order = DimOrder::new(&order).filter(|_| fits).ok_or_else(|| {
                self.at.error_at(start, format!("the order is no permutation of {} dimensions", fact.rank()))
            })?;
        }
        Ok(fact)
    }

    fn expression<T>(&mut self, ends: &[char], what: &str, parse: fn(&str) -> Result<T, ParseError>) -> Result<T> {
        let (text, start) = self.at.raw(ends);
        if text.is_empty() {
            return Err(self.at.expected(what));
        }
        parse(text).map_err(|e| match e {
            ParseError::Syntax { at, what } => self.at.error_at(start + at, what),
            other => self.at.error_at(start, other.to_string()),
        })
    }

    fn dim(&mut self, ends: &[char]) -> Result<Dim> {
        self.expression(ends, "an integer or an expression over symbols", parse_plain)
    }

    fn pred(&mut self, ends: &[char]) -> Result<Pred> {
        self.expression(ends, "a condition over symbols", parse_plain_pred)
    }

    fn value(&mut self, graph: &Graph, names: &Names) -> Result<ValueId> {
        self.at.skip();
        let start = self.at.position();
        self.at.expect("%")?;
        let name = self.at.name("a name")?;
        let node = names.get(&name).copied();
        let node = node.ok_or_else(|| self.at.error_at(start, format!("`%{name}` is not defined before its use")))?;
        let count = graph.node(node).outputs.len();
        let mut index = 0;
        if self.at.eat(".") {
            index = self.at.number("the number of an output")?;
        } else if count != 1 {
            return Err(self.at.error_at(start, format!("`%{name}` has {count} outputs: write `%{name}.0`")));
        }
        let value = ValueId { node, index };
        if graph.fact(value).is_none() {
            return Err(self.at.error_at(start, format!("`%{name}` has no output {index}, it has {count}")));
        }
        Ok(value)
    }

    fn arg(&mut self, graph: &Graph, names: &Names) -> Result<Arg> {
        match self.at.peek() {
            Some('%') => return self.value(graph, names).map(Arg::Tensor),
            Some('"') => return self.at.string("a string").map(Arg::Str),
            Some('[') => return self.list(graph, names, ""),
            _ => {}
        }
        let word = self.at.peek_word();
        match word {
            "none" | "true" | "false" => {
                self.at.expect_word(word)?;
                Ok(if word == "none" { Arg::None } else { Arg::Bool(word == "true") })
            }
            "inf" | "nan" => self.float().map(Arg::Float),
            "int" => {
                self.at.expect_word("int")?;
                self.at.expect("(")?;
                let dim = self.dim(&[')'])?;
                self.at.expect(")")?;
                Ok(Arg::Int(dim))
            }
            "complex" => {
                self.at.expect_word("complex")?;
                self.at.expect("(")?;
                let re = self.float()?;
                self.at.expect(",")?;
                let im = self.float()?;
                self.at.expect(")")?;
                Ok(Arg::Complex(re, im))
            }
            "opaque" => {
                self.at.expect_word("opaque")?;
                self.at.expect("(")?;
                let text = self.at.string("a string")?;
                self.at.expect(")")?;
                Ok(Arg::Opaque(text))
            }
            "graph" => self.graph().map(|g| Arg::Graph(g.into())),
            "ints" | "tensors" | "floats" | "bools" => {
                self.at.expect_word(word)?;
                self.list(graph, names, word)
            }
            _ => {
                if let Ok(dtype) = word.parse() {
                    self.at.expect_word(word)?;
                    return Ok(Arg::DType(dtype));
                }
                if self.next_is_float() {
                    self.float().map(Arg::Float)
                } else {
                    self.dim(&[',', ')', ']', '}']).map(Arg::Int)
                }
            }
        }
    }

    /// Whether a decimal number or an infinity comes next; otherwise an integer expression does.
    fn next_is_float(&mut self) -> bool {
        let before = self.at.position();
        let (text, _) = self.at.raw(&[',', ')', ']', '}']);
        self.at.rewind(before);
        let digits = text.strip_prefix('-').unwrap_or(text);
        // More behind `inf` means an expression over a symbol of that name.
        digits.trim() == "inf"
            || digits.trim() == "nan"
            || digits.starts_with("nan(")
            || (digits.starts_with(|c: char| c.is_ascii_digit())
                && digits.contains(['.', 'e'])
                && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | '+' | '-')))
    }

    /// A decimal number, `inf`, `-inf`, `nan`, or a NaN with its bits: `nan(0x7ff8000000000001)`.
    fn float(&mut self) -> Result<f64> {
        let (text, start) = self.at.raw(&[',', ')', ']', '}']);
        let bits = text.strip_prefix("nan(0x").and_then(|t| t.strip_suffix(')'));
        let value = match bits {
            Some(hex) => u64::from_str_radix(hex, 16).ok().map(f64::from_bits).filter(|x| x.is_nan()),
            None => text.parse().ok(),
        };
        value.ok_or_else(|| self.at.error_at(start, format!("expected a decimal number, found `{text}`")))
    }

    /// A list of what `of` says, or of what its first element is.
    fn list(&mut self, graph: &Graph, names: &Names, of: &str) -> Result<Arg> {
        self.at.expect("[")?;
        let first = self.at.peek();
        let of = match (of, first, self.at.peek_word()) {
            ("", Some(']'), _) => {
                return Err(self
                    .at
                    .expected("an element: write an empty list as `ints[]`, `tensors[]`, `floats[]` or `bools[]`"));
            }
            ("", Some('%'), _) | ("", _, "none") => "tensors",
            ("", _, "true" | "false") => "bools",
            ("", _, _) if self.next_is_float() => "floats",
            ("", _, _) => "ints",
            (of, _, _) => of,
        };
        let (mut tensors, mut ints, mut floats, mut bools) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut count = 0;
        while !self.at.eat("]") {
            if count > 0 {
                self.at.expect(",")?;
            }
            count += 1;
            match of {
                "tensors" if self.at.eat_word("none") => tensors.push(None),
                "tensors" => tensors.push(Some(self.value(graph, names)?)),
                "floats" => floats.push(self.float()?),
                "bools" if self.at.eat_word("true") => bools.push(true),
                "bools" => {
                    self.at.expect_word("false")?;
                    bools.push(false);
                }
                _ => ints.push(self.dim(&[',', ']'])?),
            }
        }
        Ok(match of {
            "tensors" => Arg::Tensors(tensors),
            "floats" => Arg::Floats(floats),
            "bools" => Arg::Bools(bools),
            _ => Arg::Ints(ints),
        })
    }
}
