//! The user's source line and module path of a node, from its metadata.

use pt2c_ir::Location;

use crate::schema::Node;

/// Reads `stack_trace` and `nn_module_stack`; fields that are absent stay empty.
///
/// The line is that of the innermost frame outside PyTorch itself: the call of `self.linear(x)` rather than the
/// body of `nn.Linear.forward`.
pub fn of_node(node: &Node) -> Location {
    let mut location = Location::default();
    if let Some(trace) = node.metadata.get("stack_trace") {
        let frames = frames(trace);
        let users = frames.iter().rev().find(|frame| !is_torch(frame.file));
        if let Some(frame) = users.or(frames.last()) {
            location.file = frame.file.to_owned();
            location.line = frame.line;
            location.function = frame.function.to_owned();
            location.code = frame.code.to_owned();
        }
    }
    // `key,path,class` per module, outermost first.
    if let Some(stack) = node.metadata.get("nn_module_stack")
        && let Some(innermost) = stack.rsplit(';').next()
    {
        let mut parts = innermost.splitn(3, ',');
        let _key = parts.next();
        let path = parts.next().unwrap_or("");
        // Nodes that the exporter added carry the name of its own hook.
        if !path.starts_with("_empty_nn_module_stack") {
            location.module = module_path(path);
            location.module_class = parts.next().unwrap_or("").to_owned();
        }
    }
    location
}

/// `L['self'].encoder.layer` (non-strict exports of some versions) and `encoder.layer` are the same path.
fn module_path(path: &str) -> String {
    path.strip_prefix("L['self']").unwrap_or(path).trim_start_matches('.').to_owned()
}

struct Frame<'a> {
    file: &'a str,
    line: u32,
    function: &'a str,
    code: &'a str,
}

/// Frames of a Python traceback, outermost first: `File "a.py", line 3, in forward` and the source line below.
fn frames(trace: &str) -> Vec<Frame<'_>> {
    let mut frames: Vec<Frame<'_>> = Vec::new();
    for line in trace.lines() {
        let line = line.trim();
        match frame_header(line) {
            Some(frame) => frames.push(frame),
            None => {
                if let Some(frame) = frames.last_mut()
                    && frame.code.is_empty()
                {
                    frame.code = line;
                }
            }
        }
    }
    frames
}

fn frame_header(line: &str) -> Option<Frame<'_>> {
    let (file, rest) = line.strip_prefix("File \"")?.split_once("\", line ")?;
    let (number, function) = rest.split_once(", in ").unwrap_or((rest, ""));
    Some(Frame { file, line: number.trim().parse().ok()?, function, code: "" })
}

fn is_torch(file: &str) -> bool {
    file.starts_with("torch/") || file.contains("/torch/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(trace: &str, modules: &str) -> Node {
        let metadata = [("stack_trace", trace), ("nn_module_stack", modules)];
        Node {
            target: String::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            metadata: metadata.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            is_hop_single_tensor_return: None,
            name: None,
        }
    }

    #[test]
    fn the_users_line_wins_over_pytorchs() {
        let trace = "File \"/home/user/model.py\", line 96, in forward\n    x = self.embed(x)\n  File \"/venv/lib/python3.11/site-packages/torch/nn/modules/conv.py\", line 565, in forward\n    return self._conv_forward(input)\n";
        let location = of_node(&node(trace, "L__self__,,m.Crepe;L__self__conv1,conv1,torch.nn.modules.conv.Conv2d"));
        assert_eq!((location.file.as_str(), location.line), ("/home/user/model.py", 96));
        assert_eq!((location.function.as_str(), location.code.as_str()), ("forward", "x = self.embed(x)"));
        assert_eq!(location.module, "conv1");
        assert_eq!(location.module_class, "torch.nn.modules.conv.Conv2d");
    }

    #[test]
    fn a_trace_of_pytorch_alone_keeps_its_innermost_frame() {
        let trace = "File \"torch/nn/modules/container.py\", line 259, in forward\n    input = module(input)\n  File \"torch/nn/modules/activation.py\", line 143, in forward\n    return F.relu(input)";
        let location = of_node(&node(trace, ""));
        assert_eq!((location.file.as_str(), location.line), ("torch/nn/modules/activation.py", 143));
    }

    #[test]
    fn nonsense_is_no_location() {
        let location = of_node(&node("File \"x\", line many, in f\n?", "one"));
        assert_eq!(location, Location::default());
    }
}
