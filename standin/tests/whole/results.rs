//! What commands leave in r(), e() and s(), how it is printed, and how it is read.

use super::support::log;

const DATA: &str = "quietly set obs 6\ngenerate x = _n\ngenerate double y = 2 + 3*x + cond(mod(_n, 2), .5, -.5)\n";

#[test]
fn a_regression_is_printed_and_stored_as_stata_does() {
    let found = log(&format!("{DATA}regress y x\nereturn list\nreturn list\nmatrix list e(V)\ndisplay %21x _b[x]\n"));
    let want = [
        "      Source |       SS           df       MS      Number of obs   =         6",
        "-------------+----------------------------------   F(1, 4)         =    433.50",
        "       Model |  148.628571         1  148.628571   Prob > F        =    0.0000",
        "    Residual |  1.37142857         4  .342857143   R-squared       =    0.9909",
        "-------------+----------------------------------   Adj R-squared   =    0.9886",
        "       Total |         150         5          30   Root MSE        =    .58554",
    ]
    .join("\n");
    let at = found.find("      Source").unwrap();
    assert_eq!(&found[at..at + want.len()], want);
    // The slope is off 3 by what the last digits have in common with x.
    let slope = 3.0 - 1.5 / 17.5;
    assert!(found.contains(&format!("           x |   {slope:.6}")), "{found}");
    for words in [
        "------------------------------------------------------------------------------\n           y | Coefficient  Std. err.      t    P>|t|     [95% conf. interval]\n-------------+-",
        "\nscalars:\n                  e(N) =  6\n               e(df_m) =  1\n               e(df_r) =  4\n",
        "\nmacros:\n            e(cmdline) : \"regress y x\"\n              e(title) : \"Linear regression\"\n",
        "\nmatrices:\n                  e(b) :  1 x 2\n                  e(V) :  2 x 2\n",
        "\nscalars:\n              r(level) =  95\n\nmatrices:\n              r(table) :  9 x 2\n",
        "\nsymmetric e(V)[2,2]\n",
    ] {
        assert!(found.contains(words), "{words}\nis not in\n{found}");
    }
}

#[test]
fn results_are_read_held_and_refused() {
    let found = log(&format!(
        "{DATA}generate z = 2*x\nregress y x z\nlocal c : colfullnames e(b), quoted\ndisplay `\"`c'\"'\nlocal m : e(matrices)\n\
         display \"`m'\" colsof(e(V)) rowsof(r(table))\nmatrix A = r(table)\nmatrix list A\ndisplay A[1,3] - el(e(b),1,3)\n\
         _return hold kept\nquietly count\n_return restore kept, hold\ndisplay r(level)\n_return restore kept\n\
         sreturn local a \"one two\"\nsreturn list\ncapture noisily regress y i.x\ncapture noisily logit y x\n\
         capture noisily matrix B = inv(A)\nprogram e, eclass\nmatrix b = (1, 2)\nmatrix colnames b = one two\n\
         ereturn post b\nereturn local cmd \"e\"\nend\ne\nereturn list\n"
    ));
    for words in [
        "note: z omitted because of collinearity.\n",
        "           z |          0  (omitted)\n",
        "\n\"x\" \"o.z\" \"_cons\"\n",
        "\nb V39\n",
        "\n. _return restore kept, hold\n\n. display r(level)\n95\n",
        "\nmacros:\n                  s(a) : \"one two\"\n",
        "factor variables, operators and weights not allowed",
        "command logit is unrecognized",
        "inv(A) not found",
        "                e(cmd) : \"e\"\n\nmatrices:\n                  e(b) :  1 x 2\n",
    ] {
        assert!(found.contains(words), "{words}\nis not in\n{found}");
    }
}
