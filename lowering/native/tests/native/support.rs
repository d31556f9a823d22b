//! Helpers: compile a one-kernel module, load it, call it.

use pt2c_native::builder::{Func, Module};
use pt2c_native::{Loaded, Options, Target, compile_module};

/// The targets that this machine can run: baseline always, AVX2 and AVX-512 where it has them.
pub fn targets() -> Vec<Target> {
    ["x86-64", "x86-64-v3", "x86-64-v4"]
        .into_iter()
        .map(|flag| Target::from_flag(flag).expect("a level that --cpu accepts"))
        .filter(Target::runs_here)
        .collect()
}

/// The processor that prefers two half vectors to a partial whole one, if this machine can run its code.
pub fn splitting_target() -> Option<Target> {
    Target::from_flag("znver4").ok().filter(Target::runs_here)
}

/// Compiles functions, of which those named in `public` can be looked up.
pub fn load(functions: Vec<Func<'_>>, target: &Target, public: &[&str]) -> Loaded {
    let mut module = Module::new();
    for f in functions {
        module.add(f);
    }
    load_module(module, target, public)
}

/// Compiles a module, of which the functions named in `public` can be looked up.
pub fn load_module(module: Module, target: &Target, public: &[&str]) -> Loaded {
    let text = module.finish();
    let options = Options { public: public.iter().map(|s| s.to_string()).collect(), ..Options::default() };
    let compiled = compile_module(&text, target, &options).unwrap_or_else(|e| panic!("{e}\n{text}"));
    Loaded::new(&[compiled.object]).expect("the object loads")
}

/// The address of `name` as a function of that type.
macro_rules! function {
    ($loaded:expr, $name:expr, $ty:ty) => {{
        let address = $loaded.symbol($name).expect("the symbol exists");
        // SAFETY: the test wrote the function with exactly these parameters.
        unsafe { std::mem::transmute::<*const (), $ty>(address) }
    }};
}
pub(crate) use function;
