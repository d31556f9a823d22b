//! Functionalisation: in-place operators become pure ones, writes through views rebuild what they are views of.
//!
//! A saved program writes to tensors: `relu_`, `add_`, `copy_`, slices of buffers. Here every tensor name is a
//! [`View`] (a chain of [`Step`]s) of a [`Memory`], and a memory has a current value in the graph. Reading a name
//! whose memory changed since makes the view again from the current value; writing to a name rebuilds the memory's
//! value through the inverse of each step. At the end the memories of buffers and inputs that changed become
//! mutation outputs, in the order of the graph's inputs, as PyTorch's `run_decompositions()` reports them.
//!
//! Which operators make views is in `views`, when `reshape` and the like copy in `strides`, what replaces an
//! in-place operator in `inplace`.

mod inplace;
mod step;
mod strides;
mod views;

pub use inplace::{Mutation, mutation};
pub use step::Step;
pub use strides::row_major;
pub use views::{Alias, view_steps};

use indexmap::IndexMap;
use pt2c_ir::{Arg, Fact, Graph, LocationId, ValueId};

use super::error::ImportErrorKind;
use super::facts::Typed;

/// What memory belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A value of the graph: writing to it is nobody else's business.
    Intermediate,
    /// Tensors of the program, by qualified name; several if they are tied.
    Tensors {
        /// Their names.
        names: Vec<String>,
        /// Why they must not be written, if so.
        read_only: Option<String>,
    },
    /// A user input: its index in the signature.
    Input(usize),
    /// An input of a nested graph, which must not be written.
    Operand,
}

/// Index of a [`Memory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryId(usize);

/// A piece of memory that names are views of.
#[derive(Clone, Debug)]
struct Memory {
    owner: Owner,
    /// What it holds now.
    value: ValueId,
    /// Counts writes.
    generation: u32,
}

/// How a name sees its memory.
#[derive(Clone, Debug)]
pub struct View {
    memory: MemoryId,
    /// From the memory's own shape to this view, each with the type before and after it.
    steps: Vec<(Step, Fact, Fact)>,
    /// The value of the view at `generation`.
    value: ValueId,
    generation: u32,
    /// Its type and strides.
    pub typed: Typed,
}

/// All memory of one graph.
#[derive(Debug, Default)]
pub struct Memories {
    memories: Vec<Memory>,
}

/// Names of one graph (a nested graph that is inlined has its own, over the same memories).
pub type Names = IndexMap<String, View>;

impl Memories {
    /// New memory that holds `value`, seen as a whole.
    pub fn allocate(&mut self, value: ValueId, typed: Typed, owner: Owner) -> View {
        self.memories.push(Memory { owner, value, generation: 0 });
        View { memory: MemoryId(self.memories.len() - 1), steps: Vec::new(), value, generation: 0, typed }
    }

    /// The same memory under another qualified name (tied weights).
    pub fn tie(&mut self, view: &View, name: &str) {
        if let Some(Memory { owner: Owner::Tensors { names, .. }, .. }) = self.memories.get_mut(view.memory.0) {
            names.push(name.to_owned());
        }
    }

    /// A view of a view: `value` is what the view's operator returned, `step` leads there from `base`.
    pub fn derive(&self, base: &View, step: Option<Step>, value: ValueId, typed: Typed) -> View {
        let mut steps = base.steps.clone();
        steps.extend(step.map(|step| (step, base.typed.fact.clone(), typed.fact.clone())));
        View { memory: base.memory, steps, value, generation: self.generation(base.memory), typed }
    }

    fn generation(&self, memory: MemoryId) -> u32 {
        self.memories.get(memory.0).map_or(0, |memory| memory.generation)
    }

    /// The present value of a view, made again if its memory was written since.
    ///
    /// # Errors
    /// [`ImportErrorKind::Aliasing`] for a view that cannot be made again.
    pub fn read(&self, view: &mut View, graph: &mut Graph, location: LocationId) -> Result<ValueId, ImportErrorKind> {
        let memory = self.memories.get(view.memory.0);
        if let Some(memory) = memory
            && memory.generation != view.generation
        {
            let mut value = memory.value;
            for (step, _, to) in &view.steps {
                value = apply(step, to, value, graph, location)?;
            }
            view.value = value;
            view.generation = memory.generation;
        }
        Ok(view.value)
    }

    /// Writes `value` to a view: its memory is rebuilt, and every other view of it will be.
    ///
    /// # Errors
    /// [`ImportErrorKind::Aliasing`] for a view that cannot be written through, or memory that must not be written.
    pub fn write(
        &mut self,
        view: &mut View,
        value: ValueId,
        graph: &mut Graph,
        location: LocationId,
    ) -> Result<(), ImportErrorKind> {
        let Some(memory) = self.memories.get_mut(view.memory.0) else { return Ok(()) };
        match &memory.owner {
            Owner::Operand => {
                return Err(ImportErrorKind::Aliasing {
                    reason: "it is an operand of a nested graph, which must not change".to_owned(),
                });
            }
            Owner::Tensors { read_only: Some(reason), .. } => {
                return Err(ImportErrorKind::Aliasing { reason: reason.clone() });
            }
            Owner::Tensors { .. } | Owner::Intermediate | Owner::Input(_) => {}
        }
        // The bases before the write, as far as an inverse needs them.
        let last_needed = view.steps.iter().rposition(|(step, ..)| step.needs_base());
        let mut bases = vec![memory.value];
        for (step, _, to) in view.steps.iter().take(last_needed.unwrap_or(0)) {
            let base = bases.last().copied().unwrap_or(memory.value);
            bases.push(apply(step, to, base, graph, location)?);
        }
        let mut rebuilt = value;
        for (index, (step, from, _)) in view.steps.iter().enumerate().rev() {
            let emission = step.invert(from).ok_or_else(|| ImportErrorKind::Aliasing { reason: step.obstacle() })?;
            let old = bases.get(index).copied().unwrap_or(memory.value);
            let args = emission.args.iter().map(|a| a.map(|&i| if i == 0 { rebuilt } else { old })).collect();
            rebuilt = add(graph, emission.op, args, emission.name, from.clone(), location)?;
        }
        memory.value = rebuilt;
        memory.generation += 1;
        view.value = value;
        view.generation = memory.generation;
        Ok(())
    }

    /// What was written, of what is not the graph's own: owner and new value, in order of allocation.
    pub fn effects(&self) -> impl Iterator<Item = (&Owner, ValueId)> {
        self.memories
            .iter()
            .filter(|memory| memory.generation > 0 && memory.owner != Owner::Intermediate)
            .map(|memory| (&memory.owner, memory.value))
    }
}

fn apply(
    step: &Step,
    to: &Fact,
    value: ValueId,
    graph: &mut Graph,
    location: LocationId,
) -> Result<ValueId, ImportErrorKind> {
    let emission = step.apply(to).ok_or_else(|| ImportErrorKind::Aliasing { reason: step.obstacle() })?;
    let args = emission.args.iter().map(|a| a.map(|_| value)).collect();
    add(graph, emission.op, args, emission.name, to.clone(), location)
}

/// Adds a call with one result.
pub fn add(
    graph: &mut Graph,
    op: &str,
    args: Vec<Arg>,
    name: &str,
    fact: Fact,
    location: LocationId,
) -> Result<ValueId, ImportErrorKind> {
    let node = graph
        .add_call(op, args, name, vec![fact], location)
        .map_err(|error| ImportErrorKind::Undefined { name: error.to_string() })?;
    Ok(ValueId { node, index: 0 })
}
