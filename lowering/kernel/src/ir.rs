//! The data types of kernel IR.

use crate::{Attention, Convolution, Matmul, Strassen, Winograd};
use pt2c_ir::dim::{Dim, Scope, Symbol};
use pt2c_ir::{Bytes, DType, LocationId};

/// A whole program as buffers and kernel calls.
#[derive(Clone, Debug, Default)]
pub struct KernelProgram {
    /// All buffers.
    pub buffers: Vec<Buffer>,
    /// All kernels, each with a unique name.
    pub kernels: Vec<Kernel>,
    /// What runs, in order.
    pub steps: Vec<Step>,
    /// Root symbols and their ranges (from the program).
    pub scope: Scope,
    /// Size of the arena in bytes, over symbols that inputs give values.
    pub arena_bytes: Dim,
    /// The symbols that steps give values, in the order of the steps.
    pub stages: Vec<Stage>,
    /// An i64 buffer in which calls leave the clock's readings; none but where a profile is wanted. It has
    /// [`MARKS_PER_CALL`] elements for each of [`KernelProgram::calls`], then one for each root symbol: its value.
    pub marks: Option<BufferId>,
}

/// What a call leaves in [`KernelProgram::marks`]: number of runs, ticks spent in all of them, ticks of the shortest, start
/// of the last.
pub const MARKS_PER_CALL: usize = 4;

/// What becomes known when a step gives a symbol its value.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The symbol.
    pub symbol: Symbol,
    /// Size in bytes of the arena of the buffers whose sizes depend on the symbol, and on no later one.
    pub arena_bytes: Dim,
}

impl KernelProgram {
    /// All calls, in the order of the text.
    pub fn calls(&self) -> Vec<(KernelId, &[BufferId], LocationId)> {
        let mut calls = Vec::new();
        Step::visit(&self.steps, &mut |step| {
            if let Step::Call { kernel, buffers, location } = step {
                calls.push((*kernel, buffers.as_slice(), *location));
            }
        });
        calls
    }

    /// When an expression has a value: 0 from the start of a call, `n` from when the symbol of stage `n - 1` has one.
    pub fn stage_of(&self, dim: &Dim) -> usize {
        if dim.is_int() {
            return 0;
        }
        let symbols = dim.symbols();
        self.stages.iter().rposition(|s| symbols.contains(&s.symbol)).map_or(0, |i| i + 1)
    }
}

/// Index into [`KernelProgram::buffers`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BufferId(pub u32);

/// Index into [`KernelProgram::kernels`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct KernelId(pub u32);

/// A flat piece of memory with one element type.
#[derive(Clone, Debug)]
pub struct Buffer {
    /// For dumps and messages; unique.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Elements, over root symbols.
    pub len: Dim,
    /// Where it lives.
    pub kind: BufferKind,
}

/// Where a buffer lives.
#[derive(Clone, Debug)]
pub enum BufferKind {
    /// The caller's, dense row-major: user input, index into the signature's inputs. May be written (at the end of
    /// the call) only when the signature says that the input is mutated.
    Input(usize),
    /// The caller's, dense row-major: index into the signature's outputs (of kind `User`/`Loss`/gradients).
    Output(usize),
    /// In the arena of the stage at which the length is known, at this byte offset (a multiple of 64), over root
    /// symbols.
    Arena(Dim),
    /// A buffer of the module that calls change, by fully qualified name; lives in the context.
    State(String),
    /// Read-only data known at compile time, already in the layout the kernels want.
    Constant(Bytes),
}

/// What runs.
#[derive(Clone, Debug)]
pub enum Step {
    /// Calls a kernel with buffers in the order of its parameters.
    Call { kernel: KernelId, buffers: Vec<BufferId>, location: LocationId },
    /// Gives a symbol its value, checks what the program states of it, and makes room for the buffers whose sizes are
    /// known then: their former content is gone.
    Bind { symbol: Symbol, value: Bound },
    /// Runs one list or the other, by a one-element boolean buffer.
    If { condition: BufferId, then: Vec<Step>, otherwise: Vec<Step> },
    /// Runs `before`, then `body` and again while the one-element boolean buffer is true.
    While { before: Vec<Step>, condition: BufferId, body: Vec<Step> },
}

impl Step {
    /// Calls `see` with every step and those inside it, in the order of the text.
    pub fn visit<'s>(steps: &'s [Step], see: &mut dyn FnMut(&'s Step)) {
        for step in steps {
            see(step);
            match step {
                Step::Call { .. } | Step::Bind { .. } => {}
                Step::If { then: first, otherwise: second, .. } | Step::While { before: first, body: second, .. } => {
                    Step::visit(first, see);
                    Step::visit(second, see);
                }
            }
        }
    }

    /// As [`Step::visit`], to change the steps.
    pub fn visit_mut(steps: &mut [Step], see: &mut dyn FnMut(&mut Step)) {
        for step in steps {
            see(step);
            match step {
                Step::Call { .. } | Step::Bind { .. } => {}
                Step::If { then: first, otherwise: second, .. } | Step::While { before: first, body: second, .. } => {
                    Step::visit_mut(first, see);
                    Step::visit_mut(second, see);
                }
            }
        }
    }

    /// The buffers that the step itself mentions, not those of steps inside it.
    pub fn buffers(&self) -> &[BufferId] {
        match self {
            Step::Call { buffers, .. } => buffers,
            Step::Bind { value: Bound::Element(buffer), .. } => std::slice::from_ref(buffer),
            Step::Bind { value: Bound::Size(_), .. } => &[],
            Step::If { condition, .. } | Step::While { condition, .. } => std::slice::from_ref(condition),
        }
    }

    /// As [`Step::buffers`], to change them.
    pub fn buffers_mut(&mut self) -> &mut [BufferId] {
        match self {
            Step::Call { buffers, .. } => buffers,
            Step::Bind { value: Bound::Element(buffer), .. } => std::slice::from_mut(buffer),
            Step::Bind { value: Bound::Size(_), .. } => &mut [],
            Step::If { condition, .. } | Step::While { condition, .. } => std::slice::from_mut(condition),
        }
    }
}

/// What a symbol becomes.
#[derive(Clone, Debug)]
pub enum Bound {
    /// The element of a buffer of one i64.
    Element(BufferId),
    /// A value over symbols, its own former one among them.
    Size(Dim),
}

/// A function over buffers. Root symbols may be used anywhere in it; a target passes those it needs.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Unique, a C identifier: says what it computes (`conv2d_relu_3`).
    pub name: String,
    /// Its buffers.
    pub params: Vec<Param>,
    /// What it does.
    pub body: Body,
}

/// A buffer parameter. Different parameters do not overlap, except that a [`Access::ReadWrite`] one is read and written
/// at the same element in the same iteration.
#[derive(Clone, PartialEq, Debug)]
pub struct Param {
    /// For dumps.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// How the kernel uses it.
    pub access: Access,
}

/// How a kernel uses a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Read,
    Write,
    ReadWrite,
}

/// What a kernel does.
#[derive(Clone, Debug)]
pub enum Body {
    /// Loops. The first statement list is the task: if its only loop at top level is `Parallel`, targets split it.
    Loops(Vec<Stmt>),
    /// Matrix product.
    Matmul(Matmul),
    /// Convolution.
    Convolution(Convolution),
    /// Second half of a 3×3 convolution by minimal filtering.
    Winograd(Winograd),
    /// Second half of a product with a constant matrix in fewer multiplications.
    Strassen(Strassen),
    /// Scaled dot-product attention.
    Attention(Attention),
    /// Sorting of lines.
    Sort(Sort),
    /// A routine of the runtime.
    Routine(Routine),
    /// A function that the library's user provides.
    Custom(Custom),
}

/// A call of a custom operator's function. Every parameter is a dense tensor.
#[derive(Clone, PartialEq, Debug)]
pub struct Custom {
    /// Its name.
    pub function: String,
    /// What it is given.
    pub arguments: Vec<CustomArgument>,
    /// What it writes.
    pub results: Vec<CustomTensor>,
}

/// A tensor that a custom operator's function reads or writes.
#[derive(Clone, PartialEq, Debug)]
pub struct CustomTensor {
    /// The parameter.
    pub param: usize,
    /// Its sizes.
    pub sizes: Vec<Dim>,
}

/// An argument of a custom operator's function.
#[derive(Clone, PartialEq, Debug)]
pub enum CustomArgument {
    Tensor(CustomTensor),
    /// An optional tensor that is not given.
    Absent,
    Int(Dim),
    Bool(Dim),
    Ints(Vec<Dim>),
    Float(f64),
    Floats(Vec<f64>),
    Tensors(Vec<CustomTensor>),
    Text(String),
}

impl Custom {
    /// All tensors.
    pub fn tensors(&self) -> impl Iterator<Item = &CustomTensor> {
        let given = self.arguments.iter().flat_map(|a| match a {
            CustomArgument::Tensor(tensor) => std::slice::from_ref(tensor),
            CustomArgument::Tensors(tensors) => tensors.as_slice(),
            _ => &[],
        });
        given.chain(&self.results)
    }

    /// All symbolic expressions.
    pub fn dims(&self) -> impl Iterator<Item = &Dim> {
        let numbers = self.arguments.iter().flat_map(|argument| match argument {
            CustomArgument::Int(value) | CustomArgument::Bool(value) => std::slice::from_ref(value),
            CustomArgument::Ints(values) => values.as_slice(),
            _ => &[],
        });
        numbers.chain(self.tensors().flat_map(|tensor| &tensor.sizes))
    }
}

/// Sorts the lines of a row-major tensor `[outer, len, inner]` along its middle dimension and keeps the first `keep` of
/// each: the result is `[outer, keep, inner]`. Equal elements stay in their order; NaN is larger than every number.
///
/// With `rows`, `inner` elements in a row are one key, compared element by element, and the result `[outer, keep]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Sort {
    /// Number of lines, or of groups of lines beside each other.
    pub outer: Dim,
    /// Elements of a line.
    pub len: Dim,
    /// Distance of two elements of a line.
    pub inner: Dim,
    /// How many elements of a line remain.
    pub keep: Dim,
    /// From the largest on.
    pub descending: bool,
    /// Rows are sorted.
    pub rows: bool,
    /// Parameter: the elements.
    pub x: usize,
    /// Parameter: the elements in order, if they are wanted.
    pub values: Option<usize>,
    /// Parameter: their positions in the line, i64.
    pub indices: usize,
    /// Parameter: `areas · len · 4` i64 elements to work in.
    pub scratch: usize,
    /// How many lines can be sorted at a time.
    pub areas: Dim,
}

/// A call of a routine of the runtime (see `prim.routine`) over a batch. The parameters are its buffers in order, each
/// dense: the parts of all items one after the other.
#[derive(Clone, PartialEq, Debug)]
pub struct Routine {
    /// Its name.
    pub name: String,
    /// Its numbers are complex: pairs of reals.
    pub pairs: bool,
    /// Number of items: they are independent.
    pub count: Dim,
    /// The sizes it takes.
    pub sizes: Vec<Dim>,
    /// Rough work on an item, in multiplications.
    pub cost: Dim,
}

/// A local scalar, assigned once. Numbered densely within a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Var(pub u32);

/// A statement of a loop nest.
#[derive(Clone, PartialEq, Debug)]
pub enum Stmt {
    /// Names a value.
    Let { var: Var, dtype: DType, value: Expr },
    /// Names an i64 value as a symbol, for use in addresses and extents. `0 <= value < extent` holds: the statement
    /// is preceded by the check where data could violate it.
    Index { symbol: Symbol, extent: Dim, value: Expr },
    /// Writes an element of a parameter.
    Store { param: usize, address: Dim, value: Expr },
    /// A loop.
    For(For),
    /// Runs the statements if the boolean holds.
    If { condition: Expr, then: Vec<Stmt> },
    /// Ends the call with an error unless the boolean holds: what PyTorch would raise at run time. `value` is
    /// printed where the message has `{}`.
    Check { condition: Expr, message: String, value: Option<Expr> },
}

/// `for var in 0..extent`.
#[derive(Clone, PartialEq, Debug)]
pub struct For {
    /// The loop variable, a symbol usable in addresses and, as [`Expr::Index`], in values. Unique in the kernel.
    pub var: Symbol,
    /// Number of iterations, over root symbols and outer variables; ≥ 0.
    pub extent: Dim,
    /// What a target may do.
    pub kind: LoopKind,
    /// Values carried from one iteration to the next.
    pub carried: Vec<Carried>,
    /// The iteration.
    pub body: Vec<Stmt>,
}

/// What a target may do with a loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoopKind {
    /// Iterations in order.
    Serial,
    /// Iterations are independent: threads may share them. Only at top level of a kernel, possibly several perfectly
    /// nested ones, which a target shares out together.
    Parallel,
    /// Iterations are independent, or carried values are all reductions that may be reassociated: vector lanes.
    /// At top level without carried values it may be shared by threads too. Contains no other `Vector` loop; a `Serial` loop inside runs in step for all lanes, so its extent does not
    /// depend on this loop's variable.
    Vector,
}

/// A value carried around a loop.
#[derive(Clone, PartialEq, Debug)]
pub struct Carried {
    /// The value at the start of an iteration, visible in the body.
    pub var: Var,
    /// The value after the loop, visible behind it.
    pub result: Var,
    /// Element type.
    pub dtype: DType,
    /// Value before the first iteration.
    pub init: Expr,
    /// Value for the next iteration, computed at the end of the body. For a reduction: what is combined into it.
    pub next: Expr,
    /// `Some(op)`: the new value is `op(var, next)`, associative and commutative, in any order. `None`: it is `next`.
    pub reduction: Option<ReduceOp>,
}

/// Associative, commutative combination.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReduceOp {
    Sum,
    Product,
    /// NaN if either is NaN.
    Max,
    /// NaN if either is NaN.
    Min,
    And,
    Or,
}

/// A pure scalar expression.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    /// A named value.
    Var(Var),
    /// A float constant of this dtype (F32 or F64).
    Float(f64, DType),
    /// An integer constant of this dtype.
    Int(i64, DType),
    /// A boolean constant.
    Bool(bool),
    /// An integer expression over symbols, as i64.
    Index(Dim),
    /// An element of a parameter.
    Load { param: usize, address: Dim },
    /// `if condition { value } else { other }`, where `value` is only evaluated (its loads only execute) when the
    /// condition holds. `other` may be evaluated in any case.
    Guarded { condition: Box<Expr>, value: Box<Expr>, other: Box<Expr> },
    /// `if condition { a } else { b }`, both evaluated.
    Select(Box<Expr>, Box<Expr>, Box<Expr>),
    /// One operand.
    Unary(UnaryOp, Box<Expr>),
    /// Two operands of one dtype.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// Two operands of one dtype, boolean result.
    Compare(CompareOp, Box<Expr>, Box<Expr>),
    /// Conversion with PyTorch's rules. To F16/BF16: rounds, the value stays F32.
    Cast(DType, Box<Expr>),
    /// Reinterprets the bits as another dtype of the same size.
    Bitcast(DType, Box<Expr>),
}

/// Unary functions. Float functions take F32 or F64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UnaryOp {
    Neg,
    Abs,
    /// -1, 0, 1; NaN stays NaN.
    Sign,
    Ceil,
    Floor,
    /// Half to even.
    Round,
    Trunc,
    /// Bitwise for integers, logical for booleans.
    Not,
    IsNan,
    IsInf,
    SignBit,
    Exp,
    Exp2,
    Expm1,
    Log,
    Log2,
    Log10,
    Log1p,
    Sqrt,
    Rsqrt,
    Reciprocal,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Asinh,
    Acosh,
    Atanh,
    Erf,
    Erfc,
    Erfinv,
    Lgamma,
    Digamma,
    Sigmoid,
    /// `x·(1 + erf(x/√2))/2`.
    Gelu,
}

/// Binary functions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    /// Floats only.
    Div,
    DivFloor,
    DivTrunc,
    /// Sign of the divisor (Python).
    RemFloor,
    /// Sign of the dividend (C).
    RemTrunc,
    Pow,
    Atan2,
    /// NaN if either is NaN.
    Max,
    /// NaN if either is NaN.
    Min,
    /// The other operand if one is NaN.
    FMax,
    FMin,
    /// Bitwise for integers, logical for booleans.
    And,
    Or,
    Xor,
    Shl,
    /// Arithmetic for signed, logical for unsigned.
    Shr,
    CopySign,
    NextAfter,
    Hypot,
}

/// Comparisons; with NaN all are false but `Ne`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CompareOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}
