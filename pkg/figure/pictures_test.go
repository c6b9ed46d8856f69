package figure

import (
	"bytes"
	"fmt"
	stdpng "image/png"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPictures(t *testing.T) {
	grey := Picture{Shape: []int{2, 3, 1}, Pixels: []byte{0, 50, 100, 150, 200, 250}, Name: "seven 3.2"}
	colour := Picture{Shape: []int{1, 1, 3}, Pixels: []byte{213, 94, 0}, Name: "cat"}
	img := enlarged(grey)
	require.Equal(t, 3*66, img.Rect.Dx(), "as many whole pixels as fit into 200")
	require.Equal(t, byte(200), img.NRGBAAt(66, 66).R, "row 1, column 1")
	require.Equal(t, byte(200), img.NRGBAAt(131, 131).G)
	require.Equal(t, vermillion, enlarged(colour).NRGBAAt(199, 0))

	f := must(Pictures(PictureOptions{Title: "Most exciting", Caption: []string{"Two of 10."}, Columns: 2, Style: Style{Width: 10}},
		colour, grey, colour))
	require.Equal(t, "Most exciting. 3 pictures: cat; seven 3.2; cat. Two of 10.", f.Alt())
	w, h := f.Size()
	require.Equal(t, 10., w)
	require.Greater(t, h, 10., "two rows of nearly 5 cm")
	page, err := stdpng.Decode(bytes.NewReader(png(t, f)))
	require.NoError(t, err)
	found := 0
	for x := range page.Bounds().Dx() {
		for y := range page.Bounds().Dy() {
			if r, g, b, _ := page.At(x, y).RGBA(); r>>8 == 213 && g>>8 == 94 && b>>8 == 0 {
				found++
			}
		}
	}
	side := (10/2.54*72 - 2*margin) / 2 // of a cell in points, with its gap
	require.InDelta(t, 2*(side-gap)*(side-gap)*DPI*DPI/72/72, float64(found), 5000, "two squares of that colour")
	require.Contains(t, svg(t, f), "data:image/png")
	require.NotPanics(t, func() { png(t, must(Grid(1, f, must(Estimates(correlations(), correlated(2)...))))) })

	for want, pictures := range map[string][]Picture{
		"no pictures given":               {},
		"picture 0 has shape [2 3 1] and": {{Shape: []int{2, 3, 1}, Pixels: make([]byte, 5)}},
		"picture 1 has shape [2 3 2]":     {grey, {Shape: []int{2, 3, 2}, Pixels: make([]byte, 12)}},
		"picture 0 has shape [] and":      {{}},
	} {
		_, err := Pictures(PictureOptions{Title: "x"}, pictures...)
		require.ErrorContains(t, err, fmt.Sprintf(`figure "x": %s`, want))
	}
	_, err = Pictures(PictureOptions{Columns: -1}, grey)
	require.ErrorContains(t, err, "-1 columns")
}
