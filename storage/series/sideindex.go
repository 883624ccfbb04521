package series

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/encoding"
	"github.com/prometheus/prometheus/tsdb/fileutil"
	"github.com/prometheus/prometheus/tsdb/index"
)

// seriesAlign is the unit of a series' place in an index of version 2.
const seriesAlign = 16

// sideIndex is the index of a side block, for finding many series at little cost. The TSDB's own reader makes strings of all labels of
// each series, and of its four series a side block has one for every stretch of 27 days at most: of fifty fields in five years this was two thirds
// of the time. In an index labels are numbers of a table of strings; here most of them are compared as such.
type sideIndex struct {
	file    *fileutil.MmapFile
	bytes   indexBytes
	symbols *index.Symbols
	crc     *crc32.Table
}

// indexBytes are those of an index file.
type indexBytes []byte

func (b indexBytes) Len() int                    { return len(b) }
func (b indexBytes) Range(start, end int) []byte { return b[start:end] }

// openSideIndex opens the index of the block in a folder.
func openSideIndex(path string) (*sideIndex, error) {
	file, err := fileutil.OpenMmapFile(filepath.Join(path, "index"))
	if err != nil {
		return nil, fmt.Errorf("open the index: %w", err)
	}
	s := &sideIndex{file: file, bytes: file.Bytes(), crc: crc32.MakeTable(crc32.Castagnoli)}
	toc, err := index.NewTOCFromByteSlice(s.bytes)
	if err == nil {
		s.symbols, err = index.NewSymbols(s.bytes, index.FormatV2, int(toc.Symbols)) //nolint:gosec // an offset in a file
	}
	if err != nil {
		return nil, fmt.Errorf("open the index: %w", errors.Join(err, file.Close()))
	}
	return s, nil
}

func (s *sideIndex) close() error { return s.file.Close() }

// sideFinder reads the four series of one series of samples at once. It serves one goroutine.
type sideFinder struct {
	index   *sideIndex
	decoder index.Decoder
	unused  labels.ScratchBuilder
	read    []uint32 // the labels of the series read last: name, value, name, value and so on
	first   []uint32 // those of the first of the four
	texts   map[uint32]string

	// What was found: the labels that the four have in common, and the chunks of each.
	name, group, field, recipe string
	chunks                     [aggregates][]chunks.Meta
}

func (s *sideIndex) finder() *sideFinder {
	f := &sideFinder{index: s, texts: make(map[uint32]string)}
	f.decoder.LookupSymbol = func(_ context.Context, number uint32) (string, error) {
		f.read = append(f.read, number)
		return "", nil
	}
	return f
}

// four reads the series where the list stands and the three that follow it. The writer puts them in the order of their labels.
func (f *sideFinder) four(list index.Postings) error {
	for k := range aggregates {
		if k > 0 && !list.Next() {
			return errors.Join(list.Err(), errUneven)
		}
		if err := f.series(list.At(), k); err != nil {
			return err
		}
		if k == 0 {
			if err := f.describe(); err != nil {
				return err
			}
			f.first = append(f.first[:0], f.read...)
		}
		// They differ by the last value alone, and that says which of the four it is.
		last := len(f.first) - 1
		if len(f.read) != len(f.first) || !slices.Equal(f.read[:last], f.first[:last]) {
			return errUneven
		}
		if which, err := f.text(f.read[last]); err != nil || which != aggregateName(k) {
			return errors.Join(err, errUneven)
		}
	}
	return nil
}

// series reads the numbers of the labels of a series, and its chunks as the kth of four.
func (f *sideFinder) series(ref storage.SeriesRef, k int) error {
	bytes := encoding.NewDecbufUvarintAt(f.index.bytes, int(ref)*seriesAlign, f.index.crc) //nolint:gosec // an offset in a file
	if err := bytes.Err(); err != nil {
		return err
	}
	f.read = f.read[:0]
	return f.decoder.Series(bytes.Get(), &f.unused, &f.chunks[k])
}

// describe makes strings of those labels that were read last and are of use.
func (f *sideFinder) describe() error {
	f.name, f.group, f.field, f.recipe = "", "", "", ""
	last := ""
	for i := 0; i+1 < len(f.read); i += 2 {
		name, err := f.text(f.read[i])
		if err != nil {
			return err
		}
		value, err := f.text(f.read[i+1])
		if err != nil {
			return err
		}
		last = name
		switch name {
		case model.MetricNameLabel:
			f.name = value
		case LabelGroup:
			f.group = value
		case labelField:
			f.field = value
		case labelRecipe:
			f.recipe = value
		}
	}
	if last != labelRollup {
		return errUneven
	}
	return nil
}

// text is the string of a number. It outlives the block.
func (f *sideFinder) text(number uint32) (string, error) {
	if text, ok := f.texts[number]; ok {
		return text, nil
	}
	text, err := f.index.symbols.Lookup(number)
	if err == nil {
		f.texts[number] = text
	}
	return text, err
}
