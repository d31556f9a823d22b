//! Where in the user's Python program a node comes from: a side table, so that nodes stay small.

use indexmap::IndexSet;

/// Index into [`Locations`]. [`LocationId::UNKNOWN`] says nothing is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct LocationId(u32);

impl LocationId {
    /// No location.
    pub const UNKNOWN: LocationId = LocationId(0);
}

/// A place in the user's program.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Location {
    /// Source file as PyTorch recorded it.
    pub file: String,
    /// Line in that file, from 1; 0 when unknown.
    pub line: u32,
    /// Name of the function.
    pub function: String,
    /// The source line itself.
    pub code: String,
    /// Module path of the innermost `nn.Module` (`encoder.layer.0.attention`), empty for the root.
    pub module: String,
    /// Class of that module (`transformers.models.bert.modeling_bert.BertAttention`).
    pub module_class: String,
}

/// All locations of a program, each once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Locations(IndexSet<Location>);

impl Locations {
    /// The id of this location, added if new.
    pub fn intern(&mut self, location: Location) -> LocationId {
        if location == Location::default() {
            return LocationId::UNKNOWN;
        }
        LocationId(self.0.insert_full(location).0 as u32 + 1)
    }

    /// The location behind an id.
    pub fn get(&self, id: LocationId) -> Option<&Location> {
        self.0.get_index((id.0 as usize).checked_sub(1)?)
    }

    /// All of them with their ids, in order of first use.
    pub fn iter(&self) -> impl Iterator<Item = (LocationId, &Location)> {
        self.0.iter().enumerate().map(|(i, l)| (LocationId(i as u32 + 1), l))
    }
}
