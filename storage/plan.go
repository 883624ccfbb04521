package storage

import (
	"cmp"
	"math"
	"slices"
	"time"

	"corbie/storage/rollup"
	"corbie/storage/series"
)

// piece is a stretch of the range of a query and where it is read: in a side block, or in the raw samples where side is nil.
type piece struct {
	rollup.Span

	side *series.Side
	// raw says that all raw samples of the side block are there too.
	raw bool
}

// stored says where raw samples are: from when on in memory, and in which blocks. It is found out in this order: what goes from memory into a block
// in between is in both, and not in neither.
type stored struct {
	memory int64
	blocks []series.Block
}

func (s *Samples) stored() (found stored, err error) {
	found.memory = s.raw.MemoryFrom()
	found.blocks, _, err = s.raw.Finished()
	return found, err
}

// plan divides the range of a query among the tiers so that each instant is read once: first the coarsest whose buckets fit into the
// steps as wholes and which is what the samples give now; then the raw samples; then, for what is so old that there are none any more,
// whatever there is, the finest first. Of hosts that are kept for less there may be less than there is of others. The caller holds the lock of the tiers.
func (s *Samples) plan(whole rollup.Span, step time.Duration, stored stored, there since) []piece {
	p, blocks := planner{left: []rollup.Span{whole}}, stored.blocks
	// A day whose samples begin somewhere within it counts as theirs altogether.
	day := (24 * time.Hour).Milliseconds()
	settled := rollup.Span{From: math.MinInt64, To: rollup.Floor(stored.memory, day)}
	for _, one := range slices.Backward(s.tiers.all) {
		if step%one.size != 0 {
			continue
		}
		for _, side := range one.latest() {
			if side.Span().Overlaps(whole) && settled.Holds(side.Span()) && current(side, blocks) {
				before, after := split(one.part(side, there), there.raw)
				p.take(before, side, false)
				p.take(after, side, complete(side, blocks))
			}
		}
	}
	spans := make([]rollup.Span, 0, len(blocks)+1)
	for _, b := range blocks {
		spans = append(spans, rollup.Span{From: rollup.Floor(b.Span.From, day), To: b.Span.To})
	}
	for _, span := range rollup.Join(append(spans, rollup.Span{From: settled.To, To: math.MaxInt64})) {
		_, after := split(span, there.raw)
		p.take(after, nil, true)
	}
	for _, one := range s.tiers.all {
		for _, side := range one.latest() {
			p.take(one.part(side, there), side, false)
		}
	}
	slices.SortFunc(p.pieces, func(a, b piece) int { return cmp.Compare(a.From, b.From) })
	return p.pieces
}

// latest are the side blocks, those first that were made last. After a death one that was replaced may still be there, and once the raw samples have
// gone nothing else tells which of them it is.
func (one *tier) latest() []*series.Side {
	return slices.SortedFunc(slices.Values(one.sides), func(a, b *series.Side) int { return b.Name.Compare(a.Name) })
}

// part is the time of a side block of which there are buckets.
func (one *tier) part(side *series.Side, there since) rollup.Span {
	if one.size != time.Hour {
		return side.Span()
	}
	_, after := split(side.Span(), there.hours)
	return after
}

// split divides a span by a time.
func split(span rollup.Span, at int64) (before, after rollup.Span) {
	at = min(max(at, span.From), span.To)
	return rollup.Span{From: span.From, To: at}, rollup.Span{From: at, To: span.To}
}

// planner takes pieces out of a range until nothing is left.
type planner struct {
	left   []rollup.Span
	pieces []piece
}

func (p *planner) take(span rollup.Span, side *series.Side, raw bool) {
	if len(p.left) == 0 || span.From >= span.To {
		return
	}
	var cut []rollup.Span
	cut, p.left = rollup.Cut(p.left, span)
	for _, c := range cut {
		p.pieces = append(p.pieces, piece{Span: c, side: side, raw: raw})
	}
}

// complete says whether all blocks that a side block was made of are still there.
func complete(s *series.Side, blocks []series.Block) bool {
	for _, name := range s.Parents {
		if !slices.ContainsFunc(blocks, func(b series.Block) bool { return b.Name == name }) {
			return false
		}
	}
	return true
}
