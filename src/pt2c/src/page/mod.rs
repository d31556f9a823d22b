//! Pages for a browser: one file each, nothing from elsewhere, no network.

use crate::{pipeline, view};
use pt2c_ir::{Diagnostic, Program};
use serde_json::{Value, json};

/// Text as HTML.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A whole page.
pub fn page(title: &str, style: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n",
        escape(title)
    )
}

/// A program after every phase, as `pt2c inspect --html` shows it. What a phase refuses is shown in its place.
///
/// # Errors
/// None today; phases that fail end the list.
pub fn inspect(program: &Program, about: &Value) -> Result<String, Diagnostic> {
    let mut before = view::program(program);
    let mut phases = vec![json!({"name": "import", "about": "as exported, made functional", "graph": before})];
    let last = pipeline::run(program, &mut |phase, program| {
        let graph = view::program(program);
        // Most phases have nothing to do in most programs: those say so instead of repeating the graph.
        let mut entry = json!({"name": phase.name, "about": phase.about});
        if graph == before {
            entry["same"] = json!(true);
        } else {
            entry["graph"] = json!(graph);
        }
        phases.push(entry);
        before = graph;
        Ok(())
    });
    match last.and_then(|program| pt2c_kernel::lower::lower(&program)) {
        Ok(kernels) => phases.push(json!({
            "name": "kernels", "about": "loop nests and contractions over flat buffers", "text": pt2c_kernel::print(&kernels),
        })),
        Err(refusal) => phases.push(json!({"name": "stopped", "about": "a phase refused the program", "text": refusal.to_string()})),
    }
    let data = json!({"about": about, "phases": phases}).to_string();
    // A script element ends at the first `</script`, wherever it stands.
    let data = data.replace("</", "<\\/").replace("<!--", "<\\!--");
    let body = format!(
        "{}<script id=\"data\" type=\"application/json\">{data}</script>\n<script>\n{}</script>",
        include_str!("inspect.html"),
        include_str!("inspect.js")
    );
    Ok(page(&format!("{} – pt2c inspect", program.name), include_str!("inspect.css"), &body))
}
