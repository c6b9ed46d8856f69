package paper

// Figure A4: the panels of Figure 7 with mutual information in place of class selectivity. Protocol: section 2.7; section 6,
// item 10.

func figureA4a() design {
	return scatterFigure(Info{
		ID:    "A4a",
		Title: "Mutual information and impact of the units of an MLP",
		Claim: "What a unit tells about the class hardly predicts what its ablation does",
		Data:  mlpData,
	}, smallMLPs(), information, impact, weakPredictor)
}

func figureA4b() design {
	return scatterFigure(Info{
		ID:    "A4b",
		Title: "Mutual information and impact of the feature maps of a convolutional network",
		Claim: "What a feature map tells about the class is a poor predictor of what its ablation does",
		Data:  convData,
	}, normalizedConvNets(true), information, impact, weakPredictor)
}

func figureA4c() design {
	return layersFigure(Info{
		ID:    "A4c",
		Title: "Correlation of mutual information and impact, by layer of a convolutional network",
		Claim: "Mutual information and impact go together little, apart from very early and very late layers",
		Data:  convData,
	}, normalizedConvNets(true), information, impact, earlyNotLate)
}

func figureA4d() design {
	return scatterFigure(Info{
		ID:    "A4d",
		Title: "Mutual information and impact of the feature maps of a residual network",
		Claim: "What a feature map tells about the class is a poor predictor of what its ablation does",
		Data:  resNetData,
	}, resNets(true), information, impact, weakPredictor)
}

func figureA4e() design {
	return layersFigure(Info{
		ID:    "A4e",
		Title: "Correlation of mutual information and impact, by block of a residual network",
		Claim: "Mutual information and impact go together little",
		Data:  resNetData,
	}, resNets(true), information, impact, earlyNotLate)
}
