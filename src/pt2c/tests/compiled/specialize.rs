//! `--specialize`: likely sizes have code of their own, others run the general code, the weights are there once.

use pt2c::compile::{self, Settings};
use pt2c::specialize::Specialize;
use pt2c::tensors::Tensors;
use pt2c::verify::distance;
use pt2c::{execute, leaves, tensors};
use pt2c_ir::Program;
use pt2c_kernel::{BufferKind, Step};
use pt2c_native::Target;
use std::path::{Path, PathBuf};

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(format!("{name}.pt2"))
}

fn settings() -> Settings {
    Settings::new("model", Target::from_flag("x86-64-v3").expect("a known processor"))
}

fn flags(given: &[&str]) -> Specialize {
    #[derive(clap::Parser)]
    struct All {
        #[command(flatten)]
        specialize: Specialize,
    }
    let words = given.iter().flat_map(|flag| ["--specialize", flag]);
    <All as clap::Parser>::parse_from(std::iter::once("test").chain(words)).specialize
}

fn read(model: &Path, kind: &str) -> Tensors {
    let path = model.with_extension("").to_string_lossy().into_owned() + &format!(".{kind}.safetensors");
    tensors::read_all(&[path]).expect("a recorded file")
}

fn constant_bytes(compiled: &compile::Compiled) -> usize {
    let sizes = compiled.code.lowered.program.buffers.iter().map(|b| match &b.kind {
        BufferKind::Constant(bytes) => bytes.len(),
        _ => 0,
    });
    sizes.sum()
}

fn choices(steps: &[Step]) -> usize {
    steps.iter().map(|s| if let Step::If { otherwise, .. } = s { 1 + choices(otherwise) } else { 0 }).sum()
}

fn program(name: &str) -> Program {
    compile::open(&model(name)).expect("a recorded program").program
}

/// Recorded results at sizes with and without a variant, and the sizes of the weights.
fn check(name: &str, given: &[&str], samples: &[&str]) {
    let program = program(name);
    let general = compile::compile(&program, &settings(), &mut |_, _| Ok(()), &|_, _| {}).expect("it compiles");
    let mut settings = settings();
    settings.variants = flags(given).variants(&program).expect("the flags fit");
    let count = settings.variants.len();
    let compiled = compile::compile(&program, &settings, &mut |_, _| Ok(()), &|_, _| {}).expect("it compiles");
    assert_eq!(choices(&compiled.kernels.steps), count, "{name}: the variants are asked about");
    let (one, all) = (constant_bytes(&general), constant_bytes(&compiled));
    // Small weights may be packed in another way for a small product.
    assert!(all as f64 <= 1.1 * one as f64 + 4096.0, "{name}: {all} bytes of constants instead of {one}");
    let mut instance = execute::instance(&compiled, &settings, 1).expect("it loads");
    for sample in samples {
        let inputs = leaves::inputs(&program, &read(&model(name), &format!("inputs{sample}"))).expect("inputs fit");
        let results = execute::call(&program, &mut instance, &inputs, &Tensors::new()).expect("it runs");
        for (leaf, want) in read(&model(name), &format!("outputs{sample}")) {
            let far = distance(&want, &results.outputs[&leaf]).expect("of one type");
            assert!(far.within, "{name} {sample}: output {leaf} differs by {:.1e}", far.largest);
        }
    }
}

#[test]
fn results_are_those_of_pytorch_with_and_without_a_variant() {
    // The first sample of each has the sizes of a variant, the second has not.
    let first = |name: &str| {
        let program = program(name);
        let inputs = leaves::inputs(&program, &read(&model(name), "inputs")).expect("inputs fit");
        match &inputs[0] {
            pt2c_ops::interpret::Input::Tensor(t) => t.shape()[0],
            _ => panic!("the first input is a tensor"),
        }
    };
    for name in ["real_crepe_tiny.dyn", "m_ensemble.dyn", "shapes/reduction", "shapes/product"] {
        let batch = first(name);
        let input = program(name).signature.inputs[0].name.clone();
        check(name, &[&format!("{input}[0]={batch},3")[..]], &["", "1"][..if name.contains('/') { 2 } else { 1 }]);
    }
}

#[test]
fn several_dimensions_give_every_combination() {
    let program = program("shapes/pointwise");
    let input = &program.signature.inputs[0].name;
    let (rows, columns) = (format!("{input}[0]=4,1"), format!("{input}[1]=6,1,9"));
    let variants = flags(&[&rows, &columns]).variants(&program).expect("the flags fit");
    assert_eq!(variants.len(), 6);
    check("shapes/pointwise", &[&rows, &columns], &["", "1", "2", "3"]);
}

#[test]
fn what_cannot_be_is_said() {
    let program = program("shapes/pointwise");
    let input = &program.signature.inputs[0].name;
    let refused = |flag: &str| {
        let variants = flags(&[flag]).variants(&program);
        let diagnostic = match variants {
            Err(diagnostic) => diagnostic,
            Ok(variants) => {
                let mut settings = settings();
                settings.variants = variants;
                compile::compile(&program, &settings, &mut |_, _| Ok(()), &|_, _| {}).err().expect("it is refused")
            }
        };
        diagnostic.message
    };
    assert!(refused("batch").contains("there is no `=`"));
    assert!(refused("nothing=4").contains(&format!("{input}[0]")));
    assert!(refused(&format!("{input}[7]=4")).contains("2 dimensions"));
    assert!(refused(&format!("{input}[0]=-4")).contains("not a number"));
    assert!(refused(&format!("{input}[0]=400")).contains("not allowed"));
}
