package chart

// Scene is a picture as shapes and texts with their places, in the order in which they are drawn. An SVG and a PNG
// are both made of it, so that they show the same.
type Scene struct {
	Width, Height float64 // of the whole picture in pixels
	Title         string  // in words, for those who cannot see it
	Words         string  // Model.Describe
	Plot          Box     // what curves are cut to
	Items         []Item

	texts []Box // where texts stand
}

// Box is a rectangle in pixels from the picture's top left.
type Box struct{ X, Y, W, H float64 }

// Overlaps says whether two boxes share more than an edge.
func (b Box) Overlaps(other Box) bool {
	return b.X < other.X+other.W && other.X < b.X+b.W && b.Y < other.Y+other.H && other.Y < b.Y+b.H
}

// Point is a place in tenths of a pixel.
type Point struct{ X, Y int }

// ItemKind says what an Item is.
type ItemKind int

// The kinds of items.
const (
	Fill   ItemKind = iota // the insides of Paths
	Stroke                 // Paths as lines
	Text
)

// Anchor is the part of a text that stands at its place.
type Anchor int

// The anchors.
const (
	Left Anchor = iota
	Middle
	Right
)

// Item is one thing of a Scene.
type Item struct {
	Kind   ItemKind
	Colour Colour
	// Opacity of a fill or a stroke; 0 is 1, fully opaque.
	Opacity float64
	// Clipped paths count from the plot's top left and end at its edges.
	Clipped bool
	Paths   [][]Point
	Width   float64 // of a stroke in pixels
	Dashed  bool
	Tip     string // what a pointer on it is told

	Text   string
	X, Y   float64 // of a text: its anchor and its baseline
	Anchor Anchor
	Size   float64 // of the letters in pixels
	Bold   bool
	Halo   bool // keeps away what lies behind the text
}

// Box is the room that a text may fill, with a font as wide as the widest of the usual ones.
func (it *Item) Box() Box {
	width := textWidth(it.Text, it.Size)
	if it.Bold {
		width *= boldness
	}
	box := Box{X: it.X, Y: it.Y - 0.78*it.Size, W: width, H: 0.98 * it.Size}
	switch it.Anchor {
	case Middle:
		box.X -= width / 2
	case Right:
		box.X -= width
	case Left:
	}
	return box
}

// boldness is how much wider bold text is.
const boldness = 1.14

func (s *Scene) add(it Item) { s.Items = append(s.Items, it) }

// write puts a text down.
func (s *Scene) write(it Item) {
	if it.Text == "" {
		return
	}
	it.Kind = Text
	s.texts = append(s.texts, it.Box())
	s.add(it)
}

// offer puts a text down where it lies on no other and within the picture; else it is left out.
func (s *Scene) offer(it Item) bool {
	const apart = 1
	box := it.Box()
	if it.Text == "" || box.X < 0 || box.Y < 0 || box.X+box.W > s.Width || box.Y+box.H > s.Height {
		return false
	}
	wide := Box{box.X - 2*apart, box.Y - apart/2, box.W + 4*apart, box.H + apart}
	for _, other := range s.texts {
		if wide.Overlaps(other) {
			return false
		}
	}
	s.write(it)
	return true
}

// fill paints a rectangle.
func (s *Scene) fill(b Box, c Colour, opacity float64, clipped bool) {
	x1, y1, x2, y2 := tenths(b.X), tenths(b.Y), tenths(b.X+b.W), tenths(b.Y+b.H)
	s.add(Item{
		Kind: Fill, Colour: c, Opacity: opacity, Clipped: clipped,
		Paths: [][]Point{{{x1, y1}, {x2, y1}, {x2, y2}, {x1, y2}}},
	})
}

// straight is a line between two places given in pixels.
func straight(x1, y1, x2, y2 float64) []Point {
	return []Point{{tenths(x1), tenths(y1)}, {tenths(x2), tenths(y2)}}
}
