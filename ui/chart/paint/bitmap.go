package paint

import (
	"fmt"
	"image"
	"image/color"
	"unicode"

	"github.com/hajimehoshi/bitmapfont/v3"
	"golang.org/x/image/math/fixed"
)

// bitmapMask is a letter of the bitmap font, so many times its size, or a box with the letter's number.
func bitmapMask(r rune, zoom int) *mask {
	dr, source, from, advance, ok := bitmapfont.Face.Glyph(fixed.P(0, 0), r)
	small := image.NewAlpha(image.Rect(0, 0, dr.Dx(), dr.Dy()))
	inked := false
	for y := range dr.Dy() {
		for x := range dr.Dx() {
			_, _, _, a := source.At(from.X+x, from.Y+y).RGBA()
			small.SetAlpha(x, y, color.Alpha{A: uint8(a >> 8)}) //nolint:gosec // a byte
			inked = inked || a > 0
		}
	}
	if !ok || !inked && !unicode.IsSpace(r) {
		small, at, width := box(r)
		return &mask{image: enlarge(small, zoom), at: at.Mul(zoom), advance: float64(width * zoom)}
	}
	return &mask{image: enlarge(small, zoom), at: dr.Min.Mul(zoom), advance: float(advance) * float64(zoom)}
}

func enlarge(small *image.Alpha, zoom int) *image.Alpha {
	if zoom == 1 {
		return small
	}
	out := image.NewAlpha(image.Rect(0, 0, small.Rect.Dx()*zoom, small.Rect.Dy()*zoom))
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			out.SetAlpha(x, y, small.AlphaAt(x/zoom, y/zoom))
		}
	}
	return out
}

// digits are the hexadecimal digits, three dots wide and five high, the top row in the highest bits.
func digits() [16]uint16 {
	return [16]uint16{
		0b111_101_101_101_111, 0b010_110_010_010_111, 0b111_001_111_100_111, 0b111_001_111_001_111,
		0b101_101_111_001_001, 0b111_100_111_001_111, 0b111_100_111_101_111, 0b111_001_010_010_010,
		0b111_101_111_101_111, 0b111_101_111_001_111, 0b111_101_111_101_101, 0b110_101_110_101_110,
		0b111_100_100_100_111, 0b110_101_101_101_110, 0b111_100_111_100_111, 0b111_100_111_100_100,
	}
}

// boxDigits is a letter's number in two rows.
func boxDigits(r rune) string {
	if r > 0xffff {
		return fmt.Sprintf("%06X", r)
	}
	return fmt.Sprintf("%04X", r)
}

// box is a frame of two rows of digits in place of a letter that no font has, with how far the next letter stands from
// its left.
func box(r rune) (drawn *image.Alpha, at image.Point, advance int) {
	text := boxDigits(r)
	columns := len(text) / 2
	width, height := columns*4+1, 13
	drawn = image.NewAlpha(image.Rect(0, 0, width, height))
	for x := range width {
		drawn.SetAlpha(x, 0, color.Alpha{A: 90})
		drawn.SetAlpha(x, height-1, color.Alpha{A: 90})
	}
	shapes := digits()
	for i := range text {
		n := 0
		if _, err := fmt.Sscanf(text[i:i+1], "%X", &n); err != nil {
			continue
		}
		left, top := 1+i%columns*4, 1+i/columns*6
		for bit := range 15 {
			if shapes[n]>>(14-bit)&1 == 1 {
				drawn.SetAlpha(left+bit%3, top+bit/3, color.Alpha{A: 255})
			}
		}
	}
	return drawn, image.Pt(0, -height+2), width + 1
}
