package paper

import (
	"fmt"

	"github.com/seed-ea9a9d67/directions/pkg/result"
	"github.com/seed-ea9a9d67/directions/pkg/stat"
)

// Figure A3: the class selectivity of a feature map against the L1 norm of the filter that makes it: (a) of a residual
// network, (b) of convolutional networks. Which panel is which in the paper is not certain (section 9). The norm at the output
// of a residual block is that of the block's last convolution (section 6, item 20).

func figureA3a() design {
	return scatterFigure(Info{
		ID:    "A3a",
		Title: "Class selectivity and filter norm in a residual network",
		Claim: "Class selectivity and the L1 norm of the filter's weights are not positively related",
		Data:  resNetData,
	}, resNets(false), classSelectivity, filterNorm, notPositive)
}

func figureA3b() design {
	return scatterFigure(Info{
		ID:    "A3b",
		Title: "Class selectivity and filter norm in a convolutional network",
		Claim: "Class selectivity and the L1 norm of the filter's weights are not positively related",
		Data:  convData,
	}, normalizedConvNets(false), classSelectivity, filterNorm, notPositive)
}

// notPositive is the acceptance test of Figure A3 (section 8): ρ ≤ 0, pooled. Filters have more inputs in later layers, and
// larger norms, so that the layers by themselves say more; they are listed.
func notPositive(r stat.Relations, x, y measure) result.Claim {
	p := r.Pooled
	mean, n := meanRho(r.Layers)
	return result.Claim{
		Name: fmt.Sprintf("%s and %s are not positively related", capital(x.axis.Name), y.axis.Name),
		Test: "pooled over layers, Spearman's ρ ≤ 0",
		Found: rho(p) + fmt.Sprintf(", %s left out; mean of %d layers %.3f: %s", thousands(p.LeftOut), n,
			mean, perLayer(r)),
		Passed: p.Spearman != nil && p.Spearman.Rho <= 0,
	}
}
