package chart

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"corbie/munin"
)

// Colour is what is drawn on a light and on a dark page, as "#rrggbb".
type Colour struct {
	Light, Dark string
	// Clear is how much of what lies behind is seen, from 0, nothing, to 1: only that.
	Clear float64
}

// opacity is that of a shape which has the given one in a colour that is not clear.
func (c Colour) opacity(usual float64) float64 {
	if c.Clear > 0 {
		return 1 - c.Clear
	}
	return usual
}

// Theme is the page that a picture is drawn for.
type Theme int

// The themes. Auto follows the reader's system where the picture can, and is light where it cannot.
const (
	Auto Theme = iota
	LightTheme
	DarkTheme
)

// In is the colour for a theme; Auto gives the light one.
func (c Colour) In(t Theme) string {
	if t == DarkTheme {
		return c.Dark
	}
	return c.Light
}

// Paper is what pictures are drawn on. The pages' style sheet uses the same.
func Paper() Colour { return paperColour() }

// paper, ink and the greys between them. The pages' style sheet uses the same.
func paperColour() Colour { return Colour{Light: "#ffffff", Dark: "#14181c"} }
func inkColour() Colour   { return Colour{Light: "#20262c", Dark: "#e3e7ea"} }
func mutedColour() Colour { return Colour{Light: "#5b656e", Dark: "#9aa5ae"} }
func gridColour() Colour  { return Colour{Light: "#e4e8eb", Dark: "#2a3138"} }
func axisColour() Colour  { return Colour{Light: "#aab3ba", Dark: "#55606a"} }

func levelColour(level munin.Level) Colour {
	switch level {
	case munin.Critical:
		return Colour{Light: "#c2261d", Dark: "#ff7b72"}
	case munin.Warning:
		return Colour{Light: "#b06a00", Dark: "#e5a33a"}
	default:
		return mutedColour()
	}
}

// palette returns the colours of fields in drawing order: told apart by people who see red and green as one,
// neighbours differ in lightness, and each has a pair for dark pages.
func palette() []Colour {
	return []Colour{
		{Light: "#0072b2", Dark: "#3f9fe0"},
		{Light: "#e69f00", Dark: "#e6aa3c"},
		{Light: "#009e73", Dark: "#2fbf93"},
		{Light: "#7cc4ee", Dark: "#8fd0f5"},
		{Light: "#cc79a7", Dark: "#dd94bc"},
		{Light: "#d55e00", Dark: "#e97c3c"},
		{Light: "#7058a8", Dark: "#a58bd6"},
		{Light: "#a3a03a", Dark: "#bcba5e"},
		{Light: "#332288", Dark: "#8d83e0"},
		{Light: "#44aa99", Dark: "#6fcdbd"},
		{Light: "#882255", Dark: "#cb6492"},
		{Light: "#7f7f7f", Dark: "#a5a5a5"},
		{Light: "#8c5a2b", Dark: "#c08f5e"},
		{Light: "#b9d36c", Dark: "#cbe285"},
		{Light: "#005f5f", Dark: "#3aa0a0"},
		{Light: "#e9a3c9", Dark: "#f0bcd8"},
	}
}

// fieldColour is the plugin's own colour where it named one ("RRGGBB", with or without alpha, or "COLOURn"),
// else that of the field's place in the drawing order.
func fieldColour(own string, index int) Colour {
	colours := palette()
	if rest, ok := strings.CutPrefix(strings.ToUpper(own), "COLOUR"); ok {
		if n, err := strconv.Atoi(rest); err == nil && n >= 0 {
			return colours[n%len(colours)]
		}
	}
	own = strings.TrimPrefix(own, "#")
	seeThrough := 0.0
	if len(own) == 8 {
		if alpha, err := strconv.ParseUint(own[6:], 16, 8); err == nil {
			seeThrough = 1 - float64(alpha)/255
		}
		own = own[:6]
	}
	if len(own) == 6 {
		if rgb, err := strconv.ParseUint(own, 16, 32); err == nil {
			light := fmt.Sprintf("#%06x", rgb)
			return Colour{Light: light, Dark: lighten(uint32(rgb)), Clear: seeThrough}
		}
	}
	return colours[index%len(colours)]
}

// lighten makes a colour that would vanish on dark paper lighter until it can be seen.
func lighten(rgb uint32) string {
	r, g, b := float64(rgb>>16&255), float64(rgb>>8&255), float64(rgb&255)
	const enough = 0.10 // relative luminance: 3 to 1 against the dark paper
	for range 20 {
		if luminance(r, g, b) >= enough {
			break
		}
		r, g, b = r+(255-r)*0.12, g+(255-g)*0.12, b+(255-b)*0.12
	}
	return fmt.Sprintf("#%02x%02x%02x", int(math.Round(r)), int(math.Round(g)), int(math.Round(b)))
}

func luminance(r, g, b float64) float64 {
	linear := func(c float64) float64 {
		c /= 255
		if c <= 0.03928 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(r) + 0.7152*linear(g) + 0.0722*linear(b)
}
