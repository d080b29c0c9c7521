/* temporary stand-in */
#ifndef BP_SCALAR_H
#define BP_SCALAR_H
#include "simd.h"
#define LANE(name, expr) static inline vd name(vd a) { vd o; for (int i=0;i<VL;i++){ double x=a[i]; o[i]=(expr);} return o; }
LANE(v_exp, exp(x)) LANE(v_expm1, expm1(x)) LANE(v_log, log(x)) LANE(v_sigmoid, 1/(1+exp(-x))) LANE(v_tanh, tanh(x))
LANE(v_softplus, (x>0?x:0)+log1p(exp(-fabs(x)))) LANE(v_normal_cdf, 0.5*erfc(-x*0.70710678118654752440))
static inline double s_log1p(double x){return log1p(x);}
#endif
