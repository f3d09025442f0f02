//! Commands that Stata has itself, so that no package is looked for where an engine does not know one.

/// Full names; where a command may be shortened, a colon stands behind the shortest form ([U] 11.2, [R], [XT], [TS], [ST],
/// [D], [G] and their neighbours).
const COMMANDS: &str = "\
    about ado anova arch areg arfima arima asclogit asmprobit asroprobit assert bayes bayesmh betareg binreg \
    biprobit biplot bitest bsample bstat by bys:ort ca canon centile cf checksum churdle ci cii clogit cloglog \
    clonevar cluster cmclogit cmset cnsreg codeb:ook collapse compare compress cons:traint contract contrast \
    cor:relate corrgram cpoisson cross ct:set cumul cusum datasig:nature decode destring dfactor dfuller \
    didregress dotplot dsge dslogit dsregress dstdize dtable duplicates eivreg elasticnet encode estat est:imates \
    eteffects etable etpoisson etregress ex:pand expandcl export eregress factor fcast filefilter fillin fmm \
    format fp fr:ame frames fracreg frget frlink fvset egen gettoken glm gmm grmeanby gsem gsort hausman \
    hdidregress heckman heckoprobit heckprobit hetoprobit hetprobit hetregress icc import inf:ile infix inp:ut \
    insheet insobs inspect intreg ipolate irf irt isid ivfprobit ivpoisson ivprobit ivqregress ivregress ivtobit \
    joinby jackknife kap kappa kdensity ksmirnov ktau kwallis la:bel ladder lasso lassocoef lassogof levelsof \
    lincom linktest logistic logit loneway lowess lpoly lrtest ltable lv manova margins marginsplot markout \
    marksample mata matalabel mca mds mean mecloglog meglm melogit memory menbreg menl meologit meoprobit \
    mepoisson meprobit meqrlogit mestreg metobit meta mi misstable mixed ml mlexp mlogit mo:ve mprobit mswitch \
    mv:encode mvdecode mvreg mvtest nbreg newey nl nlcom nlogit nlsur note notes nptrend npregress numlabel ologit \
    oneway oprobit order orthog pca pergram permute pctile pkexamine plot poisson poivregress pologit poregress \
    post postclose postfile power pperron prais predict predictnl probit procrustes proportion prtest putdocx \
    putexcel putpdf pwcompare pwcorr pwmean qreg qui:etly range ranksum ratio recast recode rename reshape robvar \
    rocfit rocreg roctab rolling rotate rreg rvfplot sample sdtest search sem separate serrbar shell signrank \
    signtest sktest slogit snapshot spearman spivregress split splitsample spmatrix spregress spset spxtregress \
    sqreg sspace st stack stci stcox stcrreg stcurve stdescribe stepwise stgen stintreg stintcox stjoin stmh \
    stptime streg sts stset stsplit stsum stteffects sunflower sureg svar svmat svy svydescribe svyset swilk \
    syntax sysdir sysuse table tabdisp tabi tabodds tabstat tab:ulate tab1 tab2 te:st teffects telasso testnl \
    testparm tetrachoric threshold tnbreg tobit tostring total tpoisson truncreg tsappend tsfill tsfilter tsline \
    tsreport tsrevar tsset tssmooth ttest ttesti ucm unab vce var varbasic varfcast vargranger varlmar varsoc vec \
    vecrank verify vwls webuse wntestb wntestq xcorr xi xpose xtabond xtcloglog xtcointtest xtdata xtdescribe \
    xtdidregress xtdpd xtdpdsys xteregress xtfrontier xtgee xtgls xtheckman xthdidregress xthtaylor xtile xtintreg \
    xtivreg xtline xtlogit xtmixed xtmlogit xtnbreg xtologit xtoprobit xtpcse xtpoisson xtprobit xtrc xtreg \
    xtregar xtset xtstreg xtsum xttab xttobit xtunitroot xtvar zinb ziologit zioprobit zip ztest d:escribe br:owse \
    ed:it cap:ture n:oisily conf:irm gr:aph tw:oway hist:ogram sc:atter su:mmarize reg:ress";

/// Whether Stata has a command that is called by this name, in full or shortened.
pub(super) fn has(name: &str) -> bool {
    COMMANDS.split_whitespace().any(|command| match command.split_once(':') {
        None => command == name,
        Some((short, rest)) => name.strip_prefix(short).is_some_and(|more| rest.starts_with(more)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_known_in_full_and_shortened() {
        for name in ["xtreg", "ivregress", "tab", "tabulate", "tabul", "d", "des", "bys", "bysort", "egen"] {
            assert!(has(name), "{name}");
        }
        for name in ["reghdfe", "eststo", "estout", "tabx", "tabulates", "", "xt", "ssc2", "gegenx", "outreg2"] {
            assert!(!has(name), "{name}");
        }
    }
}
