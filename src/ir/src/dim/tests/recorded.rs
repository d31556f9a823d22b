//! Expressions recorded from sympy and PyTorch.
