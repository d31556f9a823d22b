//! The Rust blocks of the pages in `docs/`, as tests.

macro_rules! pages {
    ($($name:ident $file:literal),+ $(,)?) => { $(
        #[doc = include_str!(concat!("../../../docs/", $file))]
        struct $name;
    )+ };
}

pages! {
    ExportedProgramPage "exported_program.md",
    DynamicShapesPage "dynamic_shapes.md",
    GraphSignaturePage "graph_signature.md",
    UnflattenPage "unflatten.md",
    InteroperabilityPage "interoperability.md",
}
