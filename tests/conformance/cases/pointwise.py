"""Elementwise arithmetic, comparison and logic: promotion, broadcasting, integer signs, NaN."""

from values import *

UNARY_FLOAT = (
    "abs acos acosh angle asin asinh atan atanh ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2 expm1 floor frac i0 "
    "lgamma log log10 log1p log2 logit neg rad2deg reciprocal round rsqrt sgn sigmoid sign sin sinc sinh special_entr "
    "special_erfcx special_i0e special_i1 special_i1e special_log_ndtr special_ndtri sqrt square tan tanh trunc positive"
).split()
UNIT_DOMAIN = {"acos", "asin", "atanh", "erfinv"}
POSITIVE_DOMAIN = {"digamma", "lgamma", "log", "log10", "log1p", "log2", "rsqrt", "sqrt", "acosh", "special_entr"}
PROBABILITY = {"logit", "special_ndtri"}
INTEGER_TOO = {"abs", "neg", "sign", "sgn", "square", "ceil", "floor", "round", "trunc", "positive"}


def unary(r):
    for name in UNARY_FLOAT:
        op = f"aten.{name}.default"
        draw = f
        if name in UNIT_DOMAIN:
            draw = unit
        elif name in POSITIVE_DOMAIN:
            draw = lambda *s, dtype=f32: pos(*s, dtype=dtype, low=1.05 if name == "acosh" else 0.1)
        elif name in PROBABILITY:
            draw = lambda *s, dtype=f32: pos(*s, dtype=dtype, low=0.02, high=0.98)
        r(op, draw(3, 7))
        r(op, draw(33) * (1 if name in UNIT_DOMAIN | PROBABILITY else 4))
        r(op, draw())
        r(op, draw(0, 3))
        r(op, special())
        r(op, draw(5, dtype=f64))
        if name not in {"special_erfcx", "special_i0e", "special_i1", "special_i1e", "special_log_ndtr", "special_ndtri"}:
            r(op, draw(2, 5, dtype=f16))
            r(op, draw(2, 5, dtype=bf16))
        integers = i(5) if name in INTEGER_TOO else i(5, low=1, high=6)
        r(op, integers)
        if name in INTEGER_TOO:
            r(op, i(7, dtype=i32))
            if name not in {"neg", "sign", "sgn"}:
                r(op, i(7, low=0, high=200, dtype=u8))
        elif name not in {"acosh", "acos", "asin", "atanh", "erfinv", "logit", "special_ndtri"}:
            r(op, b(4))
    for decimals in (0, 2, -1):
        r("aten.round.decimals", f(9) * 100, decimals=decimals)
    r("aten.round.default", t([0.5, 1.5, 2.5, -0.5, -1.5, 1e9, 0.49999997]))
    r("aten.logit.default", pos(5, low=-0.2, high=1.2), 0.1)
    # Values whose accuracy is hard: large arguments, tiny arguments, the ends of the range.
    r("aten.exp.default", t([-104.0, -88.0, -1e-8, 0.0, 1e-8, 88.0, 88.8, 200.0, -200.0, 0.3465]))
    r("aten.tanh.default", t([1e-6, -1e-4, 1e-3, 0.1, 9.0, -9.5, 20.0, -100.0]))
    r("aten.erf.default", t([1e-6, -1e-3, 0.5, 0.99, 1.01, 2.0, 3.9, -4.1, 10.0]))
    r("aten.log.default", t([1e-38, 1e-40, 1.0000001, 0.99999, 3e38, 2.0, 0.5, 0.0, -1.0]))
    r("aten.log1p.default", t([1e-8, -1e-8, -0.5, -0.999999, -1.0, -2.0, 1e10]))
    r("aten.expm1.default", t([1e-8, -1e-8, -0.5, 0.5, -20.0, 80.0, 100.0]))
    r("aten.sin.default", t([1e-4, 3.1415927, 6.2831855, 100.0, -1000.0, 12345.678, 1e5]))
    r("aten.cos.default", t([1e-4, 1.5707964, 3.1415927, 100.0, -1000.0, 12345.678, 1e5]))
    r("aten.sigmoid.default", t([-100.0, -88.0, -20.0, -1e-7, 0.0, 1e-7, 20.0, 100.0]))
    for name in ("isnan", "isinf", "isfinite", "signbit", "isposinf", "isneginf", "logical_not"):
        r(f"aten.{name}.default", special())
        r(f"aten.{name}.default", special(bf16))
        r(f"aten.{name}.default", i(4))
        r(f"aten.{name}.default", f(2, 0))
    r("aten.logical_not.default", b(5))
    for dtype in (i64, i32, u8, i8):
        r("aten.bitwise_not.default", i(6, low=0, high=100, dtype=dtype))
    r("aten.bitwise_not.default", b(6))
    for args in ((), (0.5,), (0.0, 9.0, -9.0), (None, 2.0, None)):
        r("aten.nan_to_num.default", special(), *args)
    r("aten.nan_to_num.default", special(f16))


def binary(r):
    for name in ("add", "sub"):
        op = f"aten.{name}.Tensor"
        r(op, f(3, 5), f(3, 5))
        r(op, f(3, 5), f(5))
        r(op, f(3, 1, 4), f(2, 1))
        r(op, f(), f(4))
        r(op, f(0, 4), f(4))
        r(op, f(2, 3), f(2, 3), alpha=2.5)
        r(op, f(2, 3), 2)
        r(op, f(2, 3), 2.5)
        r(op, i(2, 3), 2)
        r(op, i(2, 3), 2.5)
        r(op, i(2, 3), i(3), alpha=3)
        r(op, i(2, 3, dtype=i32), i(3))
        r(op, i(2, 3), f(3))
        r(op, i(4, dtype=u8, low=0, high=255), i(4, dtype=u8, low=0, high=255))
        r(op, i(4, dtype=i8, low=-128, high=127), i(4, dtype=u8, low=0, high=255))
        r(op, f(4, dtype=f16), f(4, dtype=f16))
        r(op, f(4, dtype=bf16), f(4, dtype=bf16), alpha=0.5)
        r(op, f(4, dtype=f16), f(4, dtype=bf16))
        r(op, f(4, dtype=f16), f(4))
        r(op, f(4), f(4, dtype=f64))
        r(op, f(4, dtype=f16), f())
        r(op, i(4), f())
        r(op, f(3), t(1, f64))
        r(op, c(3), f(3))
        r(op, special(), special().flip(0))
        r(f"aten.{name}.Scalar", f(3), 2.5)
        r(f"aten.{name}.Scalar", i(3), 2)
    r("aten.add.Tensor", b(4), b(4))
    r("aten.add.Tensor", b(4), i(4))
    r("aten.add.Tensor", b(4), 1)
    r("aten.add.Tensor", b(4), 1.5)
    r("aten.rsub.Scalar", f(3), 1.0)
    r("aten.rsub.Scalar", i(3), 1, alpha=2)
    r("aten.rsub.Scalar", i(3), 1.5)
    r("aten.rsub.Tensor", f(3), f(2, 3), alpha=2)
    for op in ("aten.mul.Tensor", "aten.div.Tensor"):
        divide = op.startswith("aten.div")
        r(op, f(3, 5), f(3, 5))
        r(op, f(3, 1, 4), f(2, 1))
        r(op, f(2, 3), 2)
        r(op, f(2, 3), 0.3)
        r(op, i(2, 3), 3)
        r(op, i(2, 3), 2.5)
        r(op, i(5), nz(5))
        r(op, i(5, dtype=i32), nz(5))
        r(op, i(5), f(5))
        r(op, b(4), b(4) | True)
        r(op, b(4), 2)
        r(op, f(4, dtype=f16), f(4, dtype=f16))
        r(op, f(4, dtype=bf16), f(4, dtype=bf16))
        r(op, f(4, dtype=bf16), 3)
        r(op, f(0), f(1))
        r(op, f(), f())
        r(op, f(3), t(2.0, f64))
        r(op, special(), special().flip(0))
        r(op, c(3), c(3))
        r(op, c(3), f(3))
        if divide:
            r(op, i(3), t([0, 0, 1], i64))
    r("aten.mul.Scalar", f(3), 2.5)
    r("aten.div.Scalar", i(3), 2)
    for mode in (None, "floor", "trunc"):
        op = "aten.div.Tensor_mode"
        r(op, f(2, 5) * 5, f(2, 5), rounding_mode=mode)
        r(op, i(3, 5), nz(3, 5), rounding_mode=mode)
        r(op, i(9, dtype=i32), nz(1, dtype=i32), rounding_mode=mode)
        r(op, i(9, dtype=i8), 3, rounding_mode=mode)
        r(op, i(9), 2.5, rounding_mode=mode)
        r(op, special(), special().flip(0), rounding_mode=mode)
        r(op, f(6, dtype=bf16) * 5, f(6, dtype=bf16), rounding_mode=mode)
        r("aten.div.Scalar_mode", i(9), -4, rounding_mode=mode)
    for op in ("aten.floor_divide.default", "aten.remainder.Tensor", "aten.fmod.Tensor"):
        r(op, f(2, 5) * 5, f(5))
        r(op, i(4, 5), nz(4, 5))
        r(op, i(7, dtype=i32), nz(7, dtype=i32))
        r(op, i(7, low=0, high=200, dtype=u8), i(7, low=1, high=9, dtype=u8))
        r(op, special(), special().flip(0))
        r(op, t([5.0, -5.0, 5.0, -5.0, 1e9, -0.0]), t([3.0, 3.0, -3.0, -3.0, 0.1, 2.0]))
        r(op, f(5, dtype=f16) * 4, f(5, dtype=f16))
    r("aten.floor_divide.default", i(7), -3)
    r("aten.floor_divide.default", f(7) * 9, 2.5)
    for op in ("aten.remainder.Scalar", "aten.fmod.Scalar"):
        r(op, i(9), 4)
        r(op, i(9), -4)
        r(op, i(9), 2.5)
        r(op, f(9) * 9, 2.5)
        r(op, f(9) * 9, -2.5)
    r("aten.remainder.Scalar_Tensor", 7, nz(5))
    for op in ("aten.maximum.default", "aten.minimum.default", "aten.fmax.default", "aten.fmin.default", "aten.max.other", "aten.min.other"):
        r(op, f(3, 5), f(5))
        r(op, i(5), i(5))
        r(op, i(5, dtype=i32), i(5))
        r(op, i(5), f(5))
        r(op, special(), special().flip(0))
        r(op, special(), t(nan))
        r(op, f(5, dtype=bf16), f(5, dtype=bf16))
        r(op, f(0, 3), f(3))
        if "f" != op[5]:
            r(op, b(5), b(5))
    for op in ("atan2", "copysign.Tensor", "hypot", "logaddexp", "logaddexp2", "nextafter", "special_xlog1py", "xlogy.Tensor"):
        op = f"aten.{op}" if "." in op else f"aten.{op}.default"
        second = pos if "xlog" in op else f
        r(op, f(3, 5), second(5))
        r(op, special(), special().flip(0))
        r(op, f(4, dtype=f64), second(4, dtype=f64))
        r(op, f(0, 4), second(4))
        if "nextafter" not in op:
            r(op, f(4, dtype=bf16), second(4, dtype=bf16))
        if not any(k in op for k in ("nextafter", "hypot", "logaddexp")):
            r(op, i(4, low=1), i(4, low=1))
    r("aten.copysign.Scalar", f(4), -2)
    r("aten.xlogy.Scalar_Other", t([0.0, 1.0, nan, 2.0]), 0.0)
    r("aten.xlogy.Scalar_Self", 0, t([0.0, 1.0, nan, 2.0]))
    r("aten.heaviside.default", special(), t(0.5))
    r("aten.heaviside.default", i(5), i(5))
    for op in ("aten.gcd.default", "aten.lcm.default"):
        r(op, i(9), i(9))
        r(op, i(9, dtype=i32), i(1, dtype=i32))
    r("aten.pow.Tensor_Tensor", pos(3, 4), f(4))
    r("aten.pow.Tensor_Tensor", special(), special().flip(0))
    r("aten.pow.Tensor_Tensor", i(6), i(6, low=0, high=5))
    r("aten.pow.Tensor_Tensor", pos(5, dtype=bf16), f(5, dtype=bf16))
    r("aten.pow.Tensor_Tensor", i(4, low=1), f(4))
    for exponent in (2, 3, 0.5, -0.5, -1, -2, 0, 1, 2.5, 1.0, -3, 10):
        r("aten.pow.Tensor_Scalar", pos(5), exponent)
        r("aten.pow.Tensor_Scalar", special(), exponent)
    for exponent in (0, 1, 2, 3, 5, 2.0, 0.5):
        r("aten.pow.Tensor_Scalar", i(5, low=-4, high=5) if exponent != 0.5 else i(5, low=0), exponent)
    r("aten.pow.Tensor_Scalar", f(5, dtype=f16), 2)
    r("aten.pow.Tensor_Scalar", f(5, dtype=f64), 3)
    for base in (2, 2.5, 0, 1, 10000.0):
        r("aten.pow.Scalar", base, f(5))
    r("aten.pow.Scalar", 2, i(5, low=0))
    r("aten.float_power.Tensor_Scalar", i(4), 2)
    r("aten.float_power.Tensor_Tensor", pos(4), f(4))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        r(f"aten.{name}.Tensor", i(3, 5, low=0, high=3), i(5, low=0, high=3))
        r(f"aten.{name}.Tensor", special(), special().flip(0))
        r(f"aten.{name}.Tensor", special(), special())
        r(f"aten.{name}.Tensor", i(5, low=0, high=3), f(5).round())
        r(f"aten.{name}.Tensor", b(5), b(5))
        r(f"aten.{name}.Tensor", f(4, dtype=bf16), f(4))
        r(f"aten.{name}.Tensor", f(0), f(1))
        r(f"aten.{name}.Scalar", special(), 1)
        r(f"aten.{name}.Scalar", special(), inf)
        r(f"aten.{name}.Scalar", i(6, low=0, high=3), 1)
        r(f"aten.{name}.Scalar", i(6, low=0, high=3), 1.5)
        r(f"aten.{name}.Scalar", b(4), True)
        r(f"aten.{name}.Scalar", b(4), 0)
        r(f"aten.{name}.Scalar", f(5, dtype=f16), 0.1)
    r("aten.isclose.default", t([1.0, 1.00001, nan, inf, -inf, 2.0]), t([1.0, 1.0, nan, inf, inf, 2.1]))
    r("aten.isclose.default", t([1.0, nan]), t([1.05, nan]), 0.1, 0.0, True)
    r("aten.isclose.default", i(4, low=0, high=2), i(4, low=0, high=2))
    for name in ("logical_and", "logical_or", "logical_xor"):
        r(f"aten.{name}.default", b(3, 4), b(4))
        r(f"aten.{name}.default", i(6, low=0, high=2), f(6).round())
        r(f"aten.{name}.default", special(), b(12))
    for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "__and__", "__or__", "__xor__"):
        r(f"aten.{name}.Tensor", i(3, 4), i(4))
        r(f"aten.{name}.Tensor", b(4), b(4))
        r(f"aten.{name}.Tensor", b(4), i(4))
        r(f"aten.{name}.Tensor", i(4, dtype=u8, low=0, high=255), i(4, dtype=u8, low=0, high=255))
        r(f"aten.{name}.Scalar", i(4), 6)
        r(f"aten.{name}.Scalar", b(4), True)
    r("aten.bitwise_and.Scalar_Tensor", 6, i(4))
    for name in ("bitwise_left_shift", "bitwise_right_shift"):
        r(f"aten.{name}.Tensor", i(6), i(6, low=0, high=5))
        r(f"aten.{name}.Tensor", i(6, dtype=i32), i(6, low=0, high=40, dtype=i32))
        r(f"aten.{name}.Tensor_Scalar", i(6), 2)
        r(f"aten.{name}.Tensor", i(6, dtype=u8, low=0, high=255), i(6, low=0, high=9, dtype=u8))
    for name in ("__lshift__", "__rshift__"):
        r(f"aten.{name}.Scalar", i(6), 2)
        r(f"aten.{name}.Tensor", i(6, dtype=i32), i(6, low=0, high=5, dtype=i32))


def ternary(r):
    r("aten.where.self", b(3, 1), f(3, 4), f(4))
    r("aten.where.self", b(4), i(4), f(4))
    r("aten.where.self", b(4), f(4, dtype=f16), f(4))
    r("aten.where.self", b(4), t(1.0, f64), f(4))
    r("aten.where.self", t(True, bool_), special(), t(0.0))
    r("aten.where.self", b(0, 2), f(2), f())
    r("aten.where.self", i(4, low=0, high=2, dtype=u8), f(4), f(4))
    r("aten.where.ScalarOther", b(4), f(4), -inf)
    r("aten.where.ScalarOther", b(4), i(4), 1.5)
    r("aten.where.ScalarSelf", b(4), 0, f(4))
    r("aten.where.Scalar", b(4), 1, 0)
    r("aten.where.Scalar", b(4), 1.5, 0)
    for low, high in ((-0.5, 0.5), (None, 1), (0, None), (1.0, -1.0), (nan, 1.0), (-inf, inf)):
        r("aten.clamp.default", f(2, 5), low, high)
        r("aten.clamp.default", special(), low, high)
    r("aten.clamp.default", i(9), -3, 4)
    r("aten.clamp.default", i(9), -2.5, 4)
    r("aten.clamp.default", i(9, dtype=u8, low=0, high=255), 10, 100)
    r("aten.clamp.default", f(5, dtype=f16), -0.3, 0.3)
    r("aten.clamp.Tensor", f(3, 4), f(4), None)
    r("aten.clamp.Tensor", special(), t(nan), t(1.0))
    r("aten.clamp.Tensor", i(4), None, f(4))
    r("aten.clamp.Tensor", f(3, 4), f(3, 1), f(4))
    for name, bound in (("clamp_min", 0.25), ("clamp_max", 0.25)):
        r(f"aten.{name}.default", special(), bound)
        r(f"aten.{name}.default", i(6), 2)
        r(f"aten.{name}.default", i(6), 0.5)
        r(f"aten.{name}.default", f(0), 1)
        r(f"aten.{name}.Tensor", f(3, 4), f(4))
    for name in ("addcmul", "addcdiv"):
        r(f"aten.{name}.default", f(3, 4), f(4), pos(3, 1))
        r(f"aten.{name}.default", f(4), f(4), pos(4), value=-0.5)
        r(f"aten.{name}.default", f(4, dtype=bf16), f(4, dtype=bf16), pos(4, dtype=bf16), value=2)
    r("aten.addcmul.default", i(4), i(4), i(4), value=2)
    r("aten.lerp.Scalar", f(3, 4), f(4), 0.3)
    r("aten.lerp.Scalar", f(4), f(4), 0.8)
    r("aten.lerp.Tensor", f(3, 4), f(4), pos(3, 1, low=0, high=1))
    r("aten.masked_fill.Scalar", f(3, 4), b(4), -inf)
    r("aten.masked_fill.Scalar", f(3, 1), b(3, 4), 0)
    r("aten.masked_fill.Scalar", i(4), b(4), 7)
    r("aten.masked_fill.Scalar", f(4, dtype=f16), b(4), -65504.0)
    r("aten.masked_fill.Scalar", f(0, 4), b(0, 4), 1.0)
    r("aten.masked_fill.Tensor", f(3, 4), b(3, 1), t(2.0))
    r("aten.polar.default", pos(4), f(4))
    r("aten.complex.default", f(4), f(4))
    r("aten.view_as_complex.default", f(3, 2))
    r("aten.view_as_real.default", c(3))
    for name in ("real", "imag", "_conj", "conj", "conj_physical", "resolve_conj", "abs", "angle", "exp", "neg", "sgn", "sqrt", "reciprocal"):
        r(f"aten.{name}.default", c(3))


def casts(r):
    for source in (special(), f(5) * 100, i(5), b(5), f(5, dtype=f16), f(5, dtype=bf16), i(5, dtype=u8, low=0, high=255)):
        source = source.nan_to_num(0.0, 5.0, -5.0) if source.is_floating_point() else source
        for dtype in (f32, f64, f16, bf16, i64, i32, i16, i8, bool_):
            r("aten._to_copy.default", source, dtype=dtype)
            r("aten.to.dtype", source, dtype)
    for dtype in (f32, f16, bf16, f64):
        r("aten._to_copy.default", t([1e-8, 6e-8, 65519.0, 65520.0, 1e5, 1e39, 1.00048828125, 1.0009765625, 1.00390625, inf, -inf, nan], f64), dtype=dtype)
        r("aten._to_copy.default", t([1e-8, 6e-8, 65519.0, 65520.0, 1e5, 1.00048828125, 1.00390625, 1.01171875, inf, -inf, nan]), dtype=dtype)
    large = [0.5, 447.9, 448.0, 449.0, 463.9, 464.0, 465.0, 479.0, 480.0, 1e5, 57344.0, 61439.0, 61440.0, inf, -1e5, -inf, nan]
    small = [2.0**-10, 2.0**-10 * 1.01, 2.0**-9, 2.0**-7 * 1.25, 2.0**-17, 2.0**-16 * 1.5, -1.0625]
    for narrow in (torch.float8_e4m3fn, torch.float8_e5m2):
        for dtype in (f32, f64, torch.bfloat16, torch.float16):
            r("aten._to_copy.default", t(large + small, dtype), dtype=narrow)
        r("aten._to_copy.default", t([-1000, -7, 448, 480, 1000000], i64), dtype=narrow)
    r("aten.to.dtype_layout", f(3), dtype=f64, layout=torch.strided, device=torch.device("cpu"))
    r("aten.to.dtype_layout", i(3), dtype=None)
    r("aten.to.device", i(3), torch.device("cpu"), f32)
    r("aten.to.other", i(3), f(2, dtype=bf16))
    r("aten.type_as.default", i(3), f(2))
    r("aten.view.dtype", f(3, 4), i32)
    r("aten.view.dtype", f(3, 4, dtype=f16), f32)
    r("aten.view.dtype", f(3, 4), u8)
    for dtype in (f64, f32, f16, bf16, i64, i32, i16, i8, u8):
        number = t([[-3, 2, -1, 100, 7, -128, 127, 5], [0, 1, -1, -2, 64, -64, 3, 9]], i8).to(dtype)
        for other in (f64, f32, i64, i32, i16, u8):
            if other.itemsize != dtype.itemsize and not (other.is_floating_point and dtype.itemsize < 4):
                r("aten.view.dtype", number, other)


def cases(r):
    unary(r)
    binary(r)
    ternary(r)
    casts(r)
