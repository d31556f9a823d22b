"""Factorisations, solvers, determinants, norms. Inputs are well conditioned; signs follow LAPACK where unique up to sign."""

from values import *


def well(*shape):
    n = shape[-1]
    return f(*shape) * 0.3 + torch.eye(shape[-2], n) * 2


def spd(*shape):
    a = f(*shape)
    return a @ a.mT + torch.eye(shape[-1]) * 2


def cases(r):
    kw = dict(tolerance=16.0)
    for batch in ((), (2,)):
        a = well(*batch, 4, 4)
        s = spd(*batch, 4, 4)
        r("aten.linalg_inv.default", a, **kw)
        r("aten.linalg_inv_ex.default", a, **kw)
        r("aten.inverse.default", a, **kw)
        r("aten.linalg_det.default", a, **kw)
        r("aten._linalg_det.default", a, only=[0], **kw)
        r("aten.linalg_slogdet.default", a, **kw)
        r("aten.logdet.default", s, **kw)
        r("aten.linalg_cholesky.default", s, **kw)
        r("aten.linalg_cholesky.default", s, upper=True, **kw)
        r("aten.linalg_cholesky_ex.default", s, **kw)
        r("aten.cholesky_solve.default", f(*batch, 4, 2), torch.linalg.cholesky(s), **kw)
        r("aten.cholesky_inverse.default", torch.linalg.cholesky(s), **kw)
        r("aten.linalg_solve.default", a, f(*batch, 4, 2), **kw)
        r("aten.linalg_solve.default", a, f(*batch, 4), **kw)
        r("aten.linalg_solve.default", a, f(*batch, 2, 4), left=False, **kw)
        r("aten.linalg_solve_ex.default", a, f(*batch, 4, 2), **kw)
        for upper in (False, True):
            for unit_ in (False, True):
                r("aten.linalg_solve_triangular.default", a, f(*batch, 4, 2), upper=upper, unitriangular=unit_, **kw)
        r("aten.linalg_solve_triangular.default", a, f(*batch, 2, 4), upper=True, left=False, **kw)
        r("aten.triangular_solve.default", f(*batch, 4, 2), a, only=[0], **kw)
        r("aten.linalg_qr.default", f(*batch, 4, 3), **kw)
        r("aten.linalg_qr.default", f(*batch, 3, 4), **kw)
        r("aten.linalg_qr.default", f(*batch, 4, 3), "complete", **kw)
        r("aten.linalg_qr.default", f(*batch, 4, 3), "r", **kw)
        r("aten.linalg_svdvals.default", f(*batch, 4, 3), **kw)
        r("aten.linalg_eigvalsh.default", s, **kw)
        r("aten.linalg_eigvalsh.default", s, "U", **kw)
        r("aten.linalg_lu.default", a, **kw)
        r("aten.linalg_lu_factor.default", a, **kw)
        r("aten.linalg_lu_factor_ex.default", a, **kw)
        r("aten.linalg_lu_solve.default", *torch.linalg.lu_factor(a), f(*batch, 4, 2), **kw)
        r("aten.linalg_matrix_exp.default", a * 0.3, **kw)
        r("aten.linalg_matrix_power.default", a, 2, **kw)
        r("aten.linalg_matrix_power.default", a, -2, **kw)
        r("aten.linalg_matrix_power.default", a, 0, **kw)
        r("aten.linalg_pinv.default", f(*batch, 4, 3), 1e-5, **kw)
        r("aten.linalg_pinv.atol_rtol_float", f(*batch, 3, 4), **kw)
        r("aten.linalg_pinv.atol_rtol_tensor", f(*batch, 4, 3), rtol=t(1e-4), **kw)
        r("aten.linalg_matrix_rank.atol_rtol_float", f(*batch, 4, 2) @ f(*batch, 2, 4), rtol=1e-4)
        r("aten.linalg_matrix_norm.default", a, 1, **kw)
        r("aten.linalg_matrix_norm.default", a, inf, [-2, -1], True, **kw)
        r("aten.linalg_matrix_norm.default", a, 2, **kw)
        r("aten.linalg_matrix_norm.str_ord", a, "fro", **kw)
        r("aten.linalg_matrix_norm.str_ord", a, "nuc", **kw)
        r("aten.linalg_norm.default", a, None, [-2, -1], **kw)
        r("aten.linalg_norm.ord_str", a, "fro", [-2, -1], **kw)
        r("aten.linalg_cond.default", a, **kw)
        r("aten.linalg_lstsq.default", f(*batch, 5, 3), f(*batch, 5, 2), only=[0], **kw)
        r("aten.linalg_ldl_factor.default", s, **kw)
        r("aten.linalg_householder_product.default", *torch.geqrf(f(*batch, 4, 3)), **kw)
        r("aten.linalg_diagonal.default", a)
    r("aten.linalg_det.default", f(0, 0))
    r("aten.linalg_inv.default", well(3, 3).to(f64))
    r("aten.linalg_det.default", torch.zeros(3, 3))
    r("aten.linalg_vander.default", f(4), N=3)
    r("aten.cov.default", f(3, 6), **kw)
    r("aten.corrcoef.default", f(3, 6), **kw)
    # Vectors are unique up to sign only: the values alone are compared.
    for batch in ((), (2,)):
        s, a = spd(*batch, 4, 4), f(*batch, 4, 3)
        r("aten.linalg_eigh.default", s, only=[0], **kw)
        r("aten._linalg_eigh.default", s, only=[0], **kw)
        r("aten.linalg_svd.default", a, only=[1], **kw)
        r("aten._linalg_svd.default", a, False, True, only=[1], **kw)
        r("aten._linalg_slogdet.default", s, only=[0, 1], **kw)
        r("aten._linalg_solve_ex.default", s, f(*batch, 4, 2), only=[0], **kw)
    for batch in ((), (2,)):
        s, a = spd(*batch, 4, 4), well(*batch, 4, 4)
        lu, pivots = torch.linalg.lu_factor(a)
        for adjoint in (False, True):
            r("aten.linalg_lu_solve.default", lu, pivots, f(*batch, 4, 2), adjoint=adjoint, **kw)
            r("aten.linalg_lu_solve.default", lu, pivots, f(*batch, 2, 4), left=False, adjoint=adjoint, **kw)
        r("aten.lu_unpack.default", lu, pivots, **kw)
        r("aten.geqrf.default", f(*batch, 5, 3), **kw)
        compact, tau = torch.geqrf(f(*batch, 4, 3))
        for left in (False, True):
            for transpose in (False, True):
                other = f(*batch, 4, 2) if left else f(*batch, 2, 4)
                r("aten.ormqr.default", compact, tau, other, left, transpose, **kw)
        r("aten.triangular_solve.default", f(*batch, 4, 2), a, True, True, only=[0], **kw)
        r("aten.linalg_svdvals.default", f(*batch, 3, 6), **kw)
        r("aten.linalg_matrix_norm.default", a, -2, **kw)
        r("aten.linalg_lstsq.default", f(*batch, 3, 5), f(*batch, 3, 2), only=[0], **kw)
        r("aten.linalg_pinv.atol_rtol_float", s, hermitian=True, **kw)
    r("aten.linalg_eigvalsh.default", spd(9, 9).to(f64), **kw)
    r("aten.linalg_svdvals.default", f(9, 7).to(f64), **kw)
    r("aten.linalg_matrix_exp.default", f(3, 5, 5).to(f64), **kw)
    r("aten.linalg_ldl_factor.default", f(6, 6) + f(6, 6).mT, **kw)
