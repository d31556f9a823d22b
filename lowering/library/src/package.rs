//! How build systems find the library: a pkg-config file and a CMake package, both relative to where they lie.

use crate::names::comment;

/// Content of `NAME.pc`.
pub fn pkg_config(name: &str, description: Option<&String>) -> String {
    let description = description.map_or_else(|| format!("the model {name}"), |line| comment(line));
    // In these files # begins a comment and $ a variable.
    let description = description.replace('#', " ").replace('$', "$$");
    format!(
        "Name: {name}\n\
         Description: {description}\n\
         Version: {version}\n\
         Cflags: -I${{pcfiledir}}\n\
         Libs: -L${{pcfiledir}} -l{name} -lm -pthread\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// Content of `NAMEConfig.cmake`, which defines the target `NAME::NAME`.
pub fn cmake(name: &str) -> String {
    format!(
        "# find_package({name} REQUIRED PATHS \"this folder\"), then target_link_libraries(TARGET {name}::{name}).\n\
         if(NOT TARGET {name}::{name})\n\
         \x20 set(THREADS_PREFER_PTHREAD_FLAG ON)\n\
         \x20 find_package(Threads REQUIRED)\n\
         \x20 add_library({name}::{name} STATIC IMPORTED)\n\
         \x20 set_target_properties({name}::{name} PROPERTIES\n\
         \x20   IMPORTED_LOCATION \"${{CMAKE_CURRENT_LIST_DIR}}/lib{name}.a\"\n\
         \x20   IMPORTED_LINK_INTERFACE_LANGUAGES C\n\
         \x20   INTERFACE_INCLUDE_DIRECTORIES \"${{CMAKE_CURRENT_LIST_DIR}}\"\n\
         \x20   INTERFACE_LINK_LIBRARIES \"Threads::Threads;m\")\n\
         endif()\n"
    )
}
