// Package paint draws the scenes of charts as PNG, for mail, wikis and whatever cannot show SVG. It needs no fonts,
// programs or files of the machine: what letters look like comes with it.
package paint

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"strconv"
	"sync"

	"golang.org/x/image/vector"

	"corbie/ui/chart"
)

// Painter draws pictures. It keeps the letters that it has drawn, and may be used by many goroutines.
type Painter struct {
	letters *letters
	buffers sync.Pool // *png.EncoderBuffer
}

// New reads the fonts, which takes some milliseconds.
func New() (*Painter, error) {
	l, err := newLetters()
	if err != nil {
		return nil, fmt.Errorf("read the fonts of pictures: %w", err)
	}
	return &Painter{letters: l}, nil
}

// PNG draws the picture with a palette of at most 256 colours.
func (p *Painter) PNG(m *chart.Model, pic chart.Picture) ([]byte, error) {
	scale := min(max(pic.Scale, 1), chart.MaxScale)
	img := p.draw(m.Scene(pic), pic.Theme, scale)
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed, BufferPool: &pool{&p.buffers}}
	if err := encoder.Encode(&out, img); err != nil {
		return nil, fmt.Errorf("write a picture of %s: %w", m.Title, err)
	}
	return out.Bytes(), nil
}

// Width is how many pixels wide a text is drawn in letters of the given size.
func (p *Painter) Width(text string, size float64, bold bool) float64 {
	return p.letters.width(text, size, bold)
}

// pool keeps what the encoder needs between two pictures.
type pool struct{ buffers *sync.Pool }

func (p *pool) Get() *png.EncoderBuffer {
	b, _ := p.buffers.Get().(*png.EncoderBuffer)
	return b
}

func (p *pool) Put(b *png.EncoderBuffer) { p.buffers.Put(b) }

// canvas is a picture while it is drawn.
type canvas struct {
	img    *image.RGBA
	scale  float64
	theme  chart.Theme
	plot   image.Rectangle
	origin image.Point // of the plot
	raster *vector.Rasterizer
}

func (p *Painter) draw(s *chart.Scene, theme chart.Theme, scale int) *image.Paletted {
	dots := func(v float64) int { return int(math.Round(v * float64(scale))) }
	c := &canvas{
		img: image.NewRGBA(image.Rect(0, 0, dots(s.Width), dots(s.Height))), scale: float64(scale), theme: theme,
		plot:   image.Rect(dots(s.Plot.X), dots(s.Plot.Y), dots(s.Plot.X+s.Plot.W), dots(s.Plot.Y+s.Plot.H)),
		raster: vector.NewRasterizer(1, 1),
	}
	c.origin = c.plot.Min
	draw.Draw(c.img, c.img.Rect, image.NewUniform(parseColour(chart.Paper().In(theme))), image.Point{}, draw.Src)
	for i := range s.Items {
		switch it := &s.Items[i]; it.Kind {
		case chart.Fill:
			c.fill(it)
		case chart.Stroke:
			c.stroke(it)
		case chart.Text:
			p.letters.write(c, it)
		}
	}
	return reduce(c.img)
}

// parseColour reads "#rrggbb".
func parseColour(text string) color.RGBA {
	rgb, err := strconv.ParseUint(text[1:], 16, 32)
	if err != nil {
		return color.RGBA{A: 255}
	}
	return color.RGBA{R: uint8(rgb >> 16), G: uint8(rgb >> 8 & 255), B: uint8(rgb & 255), A: 255} //nolint:gosec // bytes
}

func (c *canvas) colour(of chart.Colour, opacity float64) *image.Uniform {
	full := parseColour(of.In(c.theme))
	if opacity <= 0 || opacity >= 1 {
		return image.NewUniform(full)
	}
	part := func(v uint8) uint8 { return uint8(math.Round(float64(v) * opacity)) }
	return image.NewUniform(color.RGBA{R: part(full.R), G: part(full.G), B: part(full.B), A: part(255)})
}

// place is a point in dots of the canvas, or of the plot for what is cut to it.
func (c *canvas) place(p chart.Point) (x, y float64) {
	return float64(p.X) / 10 * c.scale, float64(p.Y) / 10 * c.scale
}

// bounds says where an item may draw and what its points count from.
func (c *canvas) bounds(it *chart.Item) (limit image.Rectangle, origin image.Point) {
	if it.Clipped {
		return c.plot, c.origin
	}
	return c.img.Rect, image.Point{}
}

func (c *canvas) fill(it *chart.Item) {
	limit, origin := c.bounds(it)
	colour := c.colour(it.Colour, it.Opacity)
	for _, path := range it.Paths {
		if r, ok := c.rectangle(path); ok {
			draw.Draw(c.img, r.Add(origin).Intersect(limit), colour, image.Point{}, draw.Over)
			continue
		}
		shape := make([]dot, len(path))
		for i, p := range path {
			shape[i].x, shape[i].y = c.place(p)
		}
		c.paint([][]dot{shape}, limit, origin, colour)
	}
}

// rectangle says whether a path is one that covers whole dots.
func (c *canvas) rectangle(path []chart.Point) (image.Rectangle, bool) {
	if len(path) != 4 || path[0].Y != path[1].Y || path[1].X != path[2].X || path[2].Y != path[3].Y || path[3].X != path[0].X {
		return image.Rectangle{}, false
	}
	x1, y1 := c.place(path[0])
	x2, y2 := c.place(path[2])
	for _, v := range []float64{x1, y1, x2, y2} {
		if math.Abs(v-math.Round(v)) > 0.01 {
			return image.Rectangle{}, false
		}
	}
	return image.Rect(int(math.Round(x1)), int(math.Round(y1)), int(math.Round(x2)), int(math.Round(y2))), true
}

// dot is a place on the canvas.
type dot struct{ x, y float64 }

// paint fills shapes with a colour, within limit; their dots count from origin. All must turn the same way round.
func (c *canvas) paint(shapes [][]dot, limit image.Rectangle, origin image.Point, colour *image.Uniform) {
	low, high := dot{math.Inf(1), math.Inf(1)}, dot{math.Inf(-1), math.Inf(-1)}
	for _, shape := range shapes {
		for _, d := range shape {
			low.x, low.y = math.Min(low.x, d.x), math.Min(low.y, d.y)
			high.x, high.y = math.Max(high.x, d.x), math.Max(high.y, d.y)
		}
	}
	if low.x > high.x {
		return
	}
	reach := float64(limit.Dx() + limit.Dy() + 1)
	whole := func(v float64) int { return int(math.Max(math.Min(v, reach), -reach)) }
	box := image.Rect(whole(math.Floor(low.x)), whole(math.Floor(low.y)), whole(math.Ceil(high.x)), whole(math.Ceil(high.y)))
	box = box.Add(origin).Intersect(limit)
	if box.Empty() {
		return
	}
	c.raster.Reset(box.Dx(), box.Dy())
	c.raster.DrawOp = draw.Over
	left, top := float64(origin.X-box.Min.X), float64(origin.Y-box.Min.Y)
	for _, shape := range shapes {
		for i, d := range shape {
			x, y := float32(left+d.x), float32(top+d.y)
			if i == 0 {
				c.raster.MoveTo(x, y)
			} else {
				c.raster.LineTo(x, y)
			}
		}
		c.raster.ClosePath()
	}
	c.raster.Draw(c.img, box, colour, image.Point{})
}
