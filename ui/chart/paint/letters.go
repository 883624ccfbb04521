package paint

import (
	"bytes"
	"image"
	"image/draw"
	"math"
	"slices"
	"sync"
	"unicode"

	"codeberg.org/go-fonts/dejavu/dejavusans"
	"codeberg.org/go-fonts/dejavu/dejavusansbold"
	"github.com/go-text/typesetting/di"
	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
	"github.com/go-text/typesetting/shaping"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"

	"corbie/ui/chart"
)

// maxCached is how many drawn letters are kept.
const maxCached = 8192

// letters draws texts in DejaVu Sans, with its ligatures and joined letters, right to left where the script runs so.
// Letters that it lacks, those of East Asia among them, come from a bitmap font; those that no font has are boxes with
// their number.
type letters struct {
	mu          sync.Mutex
	plain, bold *font.Face
	shaper      shaping.HarfbuzzShaper
	segmenter   shaping.Segmenter
	wrapper     shaping.LineWrapper
	masks       map[letter]*mask
}

// letter is a drawn letter: of a font, at a size, with its left edge at some quarter of a dot.
type letter struct {
	face    *font.Face // nil: the bitmap font
	glyph   font.GID
	char    rune // of the bitmap font
	size    float64
	quarter int
}

// mask is what a letter covers, from its place on the baseline.
type mask struct {
	image   *image.Alpha // nil for a space
	at      image.Point  // of the mask's top left
	advance float64      // of a letter of the bitmap font
}

func newLetters() (*letters, error) {
	l := &letters{masks: make(map[letter]*mask)}
	var err error
	if l.plain, err = font.ParseTTF(bytes.NewReader(dejavusans.TTF)); err != nil {
		return nil, err
	}
	if l.bold, err = font.ParseTTF(bytes.NewReader(dejavusansbold.TTF)); err != nil {
		return nil, err
	}
	return l, nil
}

// placed is a letter with how far it lies right of the text's beginning.
type placed struct {
	letter
	x, y float64
}

func (l *letters) face(bold bool) *font.Face {
	if bold {
		return l.bold
	}
	return l.plain
}

// set puts the letters of a text beside each other and says how wide they are.
func (l *letters) set(text string, size float64, bold bool) (all []placed, width float64) {
	face := l.face(bold)
	factor := size / float64(face.Upem())
	for _, r := range text {
		glyph, ok := face.NominalGlyph(r)
		if r >= 0x250 && !simple(r) || !ok {
			return l.shape(text, size, face)
		}
		all = append(all, placed{letter: letter{face: face, glyph: glyph, size: size}, x: width})
		width += float64(face.HorizontalAdvance(glyph)) * factor
	}
	return all, width
}

// simple are signs that stand alone wherever they are.
func simple(r rune) bool {
	return r == '…' || r == '−' || r == '–' || r == '—' || r == '’' || r == 'μ'
}

// faces answers with one font whatever is asked: what it lacks is drawn otherwise.
type faces struct{ face *font.Face }

func (f faces) ResolveFace(rune) *font.Face { return f.face }

// shape sets texts whose letters join, combine or run from right to left.
func (l *letters) shape(text string, size float64, face *font.Face) (all []placed, width float64) {
	runes := []rune(text)
	input := shaping.Input{
		Text: runes, RunEnd: len(runes), Direction: di.DirectionLTR, Face: face, Size: fixed.Int26_6(math.Round(size * 64)),
	}
	parts := l.segmenter.Split(input, faces{face})
	outputs := make([]shaping.Output, 0, len(parts))
	for _, part := range parts {
		outputs = append(outputs, l.shaper.Shape(part))
	}
	config := shaping.WrapConfig{Direction: di.DirectionLTR, DisableTrailingWhitespaceTrim: true}
	lines, _ := l.wrapper.WrapParagraphF(config, fixed.Int26_6(math.MaxInt32), runes, shaping.NewSliceIterator(outputs))
	for _, line := range lines {
		ordered := slices.SortedFunc(slices.Values(line), func(a, b shaping.Output) int { return int(a.VisualIndex - b.VisualIndex) })
		for _, run := range ordered {
			for _, g := range run.Glyphs {
				p := placed{letter: letter{face: face, glyph: g.GlyphID, size: size}, x: width + float(g.XOffset), y: float(g.YOffset)}
				advance := float(g.Advance)
				if g.GlyphID == 0 {
					r := runes[g.TextIndex()]
					if !visible(r) {
						continue
					}
					p.letter = letter{char: r, size: size}
					advance = l.mask(p.letter).advance
				}
				all = append(all, p)
				width += advance
			}
		}
	}
	return all, width
}

func float(v fixed.Int26_6) float64 { return float64(v) / 64 }

// zoom is how many times its size a bitmap letter is drawn in a text of a size.
func zoom(size float64) int { return max(int(math.Round(size/11)), 1) }

// visible says whether a letter that DejaVu lacks takes room.
func visible(r rune) bool {
	return !unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Cc)
}

func (l *letters) width(text string, size float64, bold bool) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, width := l.set(text, size, bold)
	return width
}

// write draws a text.
func (l *letters) write(c *canvas, it *chart.Item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := it.Size * c.scale
	all, width := l.set(it.Text, size, it.Bold)
	if room := it.Box().W * c.scale; width > room { // rare signs may be wider than was thought: they move together
		for i := range all {
			all[i].x *= room / width
		}
		width = room
	}
	x, y := it.X*c.scale, math.Round(it.Y*c.scale)
	switch it.Anchor {
	case chart.Middle:
		x -= width / 2
	case chart.Right:
		x -= width
	case chart.Left:
	}
	if it.Halo {
		paper, reach := c.colour(chart.Paper(), 0), int(c.scale)
		for _, d := range []image.Point{{-1, 0}, {1, 0}, {0, -1}, {0, 1}, {-1, -1}, {1, 1}, {-1, 1}, {1, -1}} {
			l.ink(c, all, x, y, paper, d.Mul(reach))
		}
	}
	l.ink(c, all, x, y, c.colour(it.Colour, 0), image.Point{})
}

func (l *letters) ink(c *canvas, all []placed, x, y float64, colour *image.Uniform, shift image.Point) {
	for _, p := range all {
		left := x + p.x
		whole := math.Floor(left)
		one := p.letter
		one.quarter = int((left - whole) * 4)
		if one.face == nil {
			one.quarter = 0
		}
		m := l.mask(one)
		if m.image == nil {
			continue
		}
		at := image.Pt(int(whole), int(y-math.Round(p.y))).Add(m.at).Add(shift)
		draw.DrawMask(c.img, m.image.Rect.Add(at), colour, image.Point{}, m.image, image.Point{}, draw.Over)
	}
}

// mask draws a letter, or finds it drawn.
func (l *letters) mask(one letter) *mask {
	if m, ok := l.masks[one]; ok {
		return m
	}
	m := &mask{}
	if one.face == nil {
		m = bitmapMask(one.char, zoom(one.size))
	} else if outline, ok := one.face.GlyphDataOutline(one.glyph); ok && len(outline.Segments) > 0 {
		m = outlineMask(outline.Segments, one.size/float64(one.face.Upem()), float64(one.quarter)/4)
	}
	if len(l.masks) >= maxCached {
		clear(l.masks)
	}
	l.masks[one] = m
	return m
}

// outlineMask fills the outline of a letter.
func outlineMask(segments []opentype.Segment, factor, shift float64) *mask {
	low, high := dot{math.Inf(1), math.Inf(1)}, dot{math.Inf(-1), math.Inf(-1)}
	place := func(p opentype.SegmentPoint) dot { return dot{float64(p.X)*factor + shift, -float64(p.Y) * factor} }
	for i := range segments {
		for _, p := range segments[i].ArgsSlice() {
			d := place(p)
			low.x, low.y = math.Min(low.x, d.x), math.Min(low.y, d.y)
			high.x, high.y = math.Max(high.x, d.x), math.Max(high.y, d.y)
		}
	}
	box := image.Rect(int(math.Floor(low.x)), int(math.Floor(low.y)), int(math.Ceil(high.x)), int(math.Ceil(high.y)))
	if box.Empty() {
		return &mask{}
	}
	z := vector.NewRasterizer(box.Dx(), box.Dy())
	at := func(p opentype.SegmentPoint) (x, y float32) {
		d := place(p)
		return float32(d.x - float64(box.Min.X)), float32(d.y - float64(box.Min.Y))
	}
	for i := range segments {
		args := segments[i].Args
		x1, y1 := at(args[0])
		x2, y2 := at(args[1])
		x3, y3 := at(args[2])
		switch segments[i].Op {
		case opentype.SegmentOpMoveTo:
			if i > 0 {
				z.ClosePath()
			}
			z.MoveTo(x1, y1)
		case opentype.SegmentOpLineTo:
			z.LineTo(x1, y1)
		case opentype.SegmentOpQuadTo:
			z.QuadTo(x1, y1, x2, y2)
		case opentype.SegmentOpCubeTo:
			z.CubeTo(x1, y1, x2, y2, x3, y3)
		}
	}
	z.ClosePath()
	m := &mask{image: image.NewAlpha(image.Rect(0, 0, box.Dx(), box.Dy())), at: box.Min}
	z.Draw(m.image, m.image.Rect, image.Opaque, image.Point{})
	return m
}
