package paint

import (
	"image"
	"image/color"
	"slices"
)

// reduce gives a picture without transparency a palette. Charts have few colours, and the shades at the edges of their
// letters and lines; the most frequent shades get an entry, every other takes the nearest one's.
func reduce(img *image.RGBA) *image.Paletted {
	out := image.NewPaletted(img.Rect, nil)
	var bins [1 << 15]int32 // how many dots of 5 bits a colour, then the entry plus one
	var exact [1 << 15]uint32
	last, run := uint32(1), int32(0)
	flush := func() {
		if run > 0 {
			bin := binOf(last)
			if bins[bin] < run*2 { // the shade of the longest run stands for its bin
				exact[bin] = last
			}
			bins[bin] += run
		}
	}
	width := img.Rect.Dx()
	for y := range img.Rect.Dy() {
		row := img.Pix[y*img.Stride : y*img.Stride+4*width]
		for x := 0; x < len(row); x += 4 {
			rgb := uint32(row[x])<<16 | uint32(row[x+1])<<8 | uint32(row[x+2])
			if rgb == last {
				run++
				continue
			}
			flush()
			last, run = rgb, 1
		}
	}
	flush()
	out.Palette = palette(&bins, &exact)
	last = 1
	entry := uint8(0)
	for y := range img.Rect.Dy() {
		row := img.Pix[y*img.Stride : y*img.Stride+4*width]
		to := out.Pix[y*out.Stride : y*out.Stride+width]
		for x := range to {
			rgb := uint32(row[4*x])<<16 | uint32(row[4*x+1])<<8 | uint32(row[4*x+2])
			if rgb != last {
				last, entry = rgb, uint8(bins[binOf(rgb)]-1) //nolint:gosec // at most 256 entries
			}
			to[x] = entry
		}
	}
	return out
}

func binOf(rgb uint32) uint32 { return rgb>>9&0x7c00 | rgb>>6&0x3e0 | rgb>>3&0x1f }

// palette picks the most frequent colours and turns the counts of bins into entries.
func palette(bins *[1 << 15]int32, exact *[1 << 15]uint32) color.Palette {
	var used []uint32
	for bin := range bins {
		if bins[bin] > 0 {
			used = append(used, uint32(bin))
		}
	}
	slices.SortFunc(used, func(a, b uint32) int {
		if bins[a] != bins[b] {
			return int(bins[b] - bins[a])
		}
		return int(a) - int(b)
	})
	kept := used[:min(len(used), 256)]
	colours := make(color.Palette, 0, len(kept))
	for i, bin := range kept {
		rgb := exact[bin]
		colours = append(colours, color.RGBA{R: uint8(rgb >> 16), G: uint8(rgb >> 8 & 255), B: uint8(rgb & 255), A: 255}) //nolint:gosec // bytes
		bins[bin] = int32(i) + 1                                                                                          //nolint:gosec // at most 256
	}
	for _, bin := range used[len(kept):] {
		best, least := 0, 1<<30
		for i, other := range kept {
			if d := distance(exact[bin], exact[other]); d < least {
				best, least = i, d
			}
		}
		bins[bin] = int32(best) + 1 //nolint:gosec // at most 256
	}
	return colours
}

func distance(a, b uint32) int {
	r, g, bl := int(a>>16)-int(b>>16), int(a>>8&255)-int(b>>8&255), int(a&255)-int(b&255)
	return 3*r*r + 6*g*g + bl*bl
}
