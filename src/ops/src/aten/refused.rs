//! Operators that are known and not compiled, each with the reason and what to do instead.

use crate::OpDef;

const SPARSE: &str = "sparse tensors have no place in a compiled library; keep the tensor dense, or give indices and \
     values as inputs of their own";
const HASH: &str = "it hashes the bits of its input, which differ with the order of sums; compute it outside the model";
const SPLIT: &str = "import makes it slices where the tensor holds indices; a number of sections that data decide has no form: \
     use torch.tensor_split with an int";
const PACKED: &str = "packed sequences have batch sizes that are data; export the module with padded sequences \
     (batch_first tensors and lengths as a mask)";
const POISSON: &str = "Poisson numbers are found by rejection; draw them outside the model and pass them in";
const REJECTION: &str = "such numbers are found by rejection; draw them outside the model and pass them in";
const ALIAS: &str = "it makes one tensor the other's memory; use the other tensor itself, or copy_";
const HALVES: &str = "there are no complex numbers of halves in C; use .cfloat()";
const PRIVATE: &str = "it is an internal step of PyTorch's own backward kernels; export the forward operator";

/// The family.
#[rustfmt::skip]
pub const OPS: &[OpDef] = &[
    OpDef::refused("to_sparse(Tensor self, *, Layout? layout=None, int[2]? blocksize=None, int? dense_dim=None) -> Tensor", SPARSE),
    OpDef::refused("to_sparse.sparse_dim(Tensor self, int sparse_dim) -> Tensor", SPARSE),
    OpDef::refused("to_sparse_csr(Tensor self, int? dense_dim=None) -> Tensor", SPARSE),
    OpDef::refused("to_sparse_csc(Tensor self, int? dense_dim=None) -> Tensor", SPARSE),
    OpDef::refused("to_sparse_bsr(Tensor self, int[2] blocksize, int? dense_dim=None) -> Tensor", SPARSE),
    OpDef::refused("to_sparse_bsc(Tensor self, int[2] blocksize, int? dense_dim=None) -> Tensor", SPARSE),
    OpDef::refused("hash_tensor(Tensor self, int[1] dim=[], *, bool keepdim=False, int mode=0) -> Tensor", HASH),
    OpDef::refused("tensor_split.tensor_indices_or_sections(Tensor(a -> *) self, Tensor tensor_indices_or_sections, int dim=0) -> Tensor(a)[]", SPLIT),
    OpDef::refused("gru.data(Tensor data, Tensor batch_sizes, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional) -> (Tensor, Tensor)", PACKED),
    OpDef::refused("lstm.data(Tensor data, Tensor batch_sizes, Tensor[] hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional) -> (Tensor, Tensor, Tensor)", PACKED),
    OpDef::refused("rnn_tanh.data(Tensor data, Tensor batch_sizes, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional) -> (Tensor, Tensor)", PACKED),
    OpDef::refused("rnn_relu.data(Tensor data, Tensor batch_sizes, Tensor hx, Tensor[] params, bool has_biases, int num_layers, float dropout, bool train, bool bidirectional) -> (Tensor, Tensor)", PACKED),
    OpDef::refused("poisson(Tensor self, Generator? generator=None) -> Tensor", POISSON),
    OpDef::refused("binomial(Tensor count, Tensor prob, Generator? generator=None) -> Tensor", REJECTION),
    OpDef::refused("_standard_gamma(Tensor self, Generator? generator=None) -> Tensor", REJECTION),
    OpDef::refused("_sample_dirichlet(Tensor self, Generator? generator=None) -> Tensor", REJECTION),
    OpDef::refused("set.source_Tensor(Tensor self, Tensor source) -> Tensor", ALIAS),
    OpDef::refused("chalf(Tensor self, *, MemoryFormat? memory_format=None) -> Tensor", HALVES),
    OpDef::refused("_pack_padded_sequence(Tensor input, Tensor lengths, bool batch_first) -> (Tensor, Tensor)", PACKED),
    OpDef::refused("_pad_packed_sequence(Tensor data, Tensor batch_sizes, bool batch_first, Scalar padding_value, int total_length) -> (Tensor, Tensor)", PACKED),
    OpDef::refused("_ctc_loss(Tensor log_probs, Tensor targets, int[] input_lengths, int[] target_lengths, int blank=0, bool zero_infinity=False) -> (Tensor, Tensor)", PRIVATE),
    OpDef::refused("_cdist_backward(Tensor grad_output, Tensor x1, Tensor x2, float p, Tensor cdist) -> Tensor", PRIVATE),
    OpDef::refused("grid_sampler_2d_backward(Tensor grad_output, Tensor input, Tensor grid, int interpolation_mode, int padding_mode, bool align_corners, bool[2] output_mask) -> (Tensor, Tensor)", PRIVATE),
];
