package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"corbie/storage/rollup"
	"corbie/storage/series"
)

// verifiedFile is where a master keeps what the last Verify found, in the data folder.
const verifiedFile = "verified.json"

// Verified is what a run through all blocks found.
type Verified struct {
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended"`
	Blocks int       `json:"blocks"`
	Bytes  int64     `json:"bytes"`
	// Faults are the damaged blocks, their paths inside the data folder.
	Faults []Fault `json:"faults,omitempty"`
}

// Fault is a damaged block.
type Fault struct {
	series.Fault

	// Changed tells the folder of the block from another that takes its place.
	Changed time.Time `json:"changed"`
}

// blockFolders are the folders of blocks in a data folder, by their paths in it.
func blockFolders(dir string) ([]string, error) {
	folders := []string{rawDir}
	for _, one := range tierNames() {
		folders = append(folders, one.name)
	}
	imported, err := openImported(dir)
	for _, one := range imported {
		folders = append(folders, filepath.Join(importedDir, one.name))
	}
	return folders, err
}

// blockPaths lists the blocks of a data folder by their paths in it.
func blockPaths(dir string) ([]string, error) {
	folders, err := blockFolders(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, folder := range folders {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if _, err := ulid.ParseStrict(e.Name()); err == nil && e.IsDir() {
				paths = append(paths, filepath.Join(folder, e.Name()))
			}
		}
	}
	return paths, nil
}

// BlockBytes is how large all blocks of a data folder are.
func BlockBytes(dir string) (total int64, err error) {
	paths, err := blockPaths(dir)
	for _, path := range paths {
		_ = filepath.WalkDir(filepath.Join(dir, path), func(_ string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				if info, err := e.Info(); err == nil {
					total += info.Size()
				}
			}
			return nil // It may be gone by now.
		})
	}
	return total, err
}

// Verify reads all blocks of a data folder, also beside a running master: raw samples, hours, days and imported history; see series.VerifyBlock. It says which of
// them are damaged; those that it could not look into are an error. Seen is told how many bytes were read, and may wait; nil is told nothing.
func Verify(ctx context.Context, dir string, seen func(bytes int) error) (Verified, error) {
	result := Verified{Began: time.Now()}
	paths, err := blockPaths(dir)
	if err != nil {
		return result, fmt.Errorf("verify %s: %w", dir, err)
	}
	count := func(n int) error {
		result.Bytes += int64(n)
		if seen == nil {
			return nil
		}
		return seen(n)
	}
	for _, path := range paths {
		info, err := os.Stat(filepath.Join(dir, path))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the master has replaced it
		}
		var fault *series.Fault
		if err == nil {
			fault, err = series.VerifyBlock(ctx, filepath.Join(dir, path), count)
		}
		if err != nil {
			return result, fmt.Errorf("verify %s: %w", path, err)
		}
		result.Blocks++
		if fault != nil {
			fault.Path = filepath.ToSlash(path)
			result.Faults = append(result.Faults, Fault{Fault: *fault, Changed: info.ModTime()})
		}
	}
	result.Ended = time.Now()
	return result, nil
}

// Save keeps the result in a data folder, for who holds its lock.
func (v *Verified) Save(dir string) error {
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, verifiedFile)
	if err := os.WriteFile(path+".tmp", append(text, '\n'), 0o640); err != nil {
		return fmt.Errorf("keep what was verified: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("keep what was verified: %w", err)
	}
	return nil
}

// LastVerified is what the last run of a master found that came to its end; zero where there was none. Of the damaged blocks those are left that are
// still there as they were.
func LastVerified(dir string) (v Verified) {
	text, err := os.ReadFile(filepath.Join(dir, verifiedFile))
	if err != nil || json.Unmarshal(text, &v) != nil {
		return Verified{}
	}
	v.Faults = slices.DeleteFunc(v.Faults, func(f Fault) bool {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(f.Path)))
		return err != nil || !info.ModTime().Equal(f.Changed)
	})
	return v
}

// DropDamaged deletes damaged blocks of hours and days that can be made again, because all samples of them are there, or that were made again by now. RollUp
// makes what is missing.
func (s *Samples) DropDamaged(faults []Fault) (dropped []Fault, err error) {
	s.rolling.Lock()
	defer s.rolling.Unlock()
	blocks, _, err := s.raw.Finished()
	if err != nil {
		return nil, fmt.Errorf("drop damaged rollups: %w", err)
	}
	// A block of samples that is damaged itself gives nothing to make them of.
	bad := make(map[string]bool)
	for i := range faults {
		bad[faults[i].Path] = true
	}
	good := slices.DeleteFunc(slices.Clone(blocks), func(b series.Block) bool { return bad[rawDir+"/"+b.Name.String()] })
	s.tiers.mu.Lock()
	defer s.tiers.mu.Unlock()
	for i := range faults {
		for _, one := range s.tiers.all {
			if !strings.HasPrefix(faults[i].Path, one.name+"/") {
				continue
			}
			gone, fault := s.dropDamaged(one, &faults[i], good, blocks)
			err = errors.Join(err, fault)
			if gone {
				dropped = append(dropped, faults[i])
			}
		}
	}
	return dropped, err
}

// dropDamaged deletes a side block where others have its time, or where it can be made again: all samples of it are in good blocks.
func (s *Samples) dropDamaged(one *tier, f *Fault, good, blocks []series.Block) (gone bool, err error) {
	path := filepath.Join(s.tiers.dir, filepath.FromSlash(f.Path))
	i := slices.IndexFunc(one.sides, func(side *series.Side) bool { return side.Name.String() == filepath.Base(path) })
	if i < 0 { // It could not even be opened.
		left := []rollup.Span{f.Span}
		for _, side := range one.sides {
			if current(side, blocks) {
				_, left = rollup.Cut(left, side.Span())
			}
		}
		if f.Span.From >= f.Span.To || len(left) > 0 {
			return false, nil
		}
		return true, os.RemoveAll(path)
	}
	side := one.sides[i]
	others := slices.Delete(slices.Clone(one.sides), i, i+1)
	left := []rollup.Span{side.Span()}
	for _, other := range others {
		if current(other, blocks) {
			_, left = rollup.Cut(left, other.Span())
		}
	}
	if len(left) > 0 && (!complete(side, good) || s.tiers.marks.reach(side.From)) {
		return false, nil
	}
	one.sides = others
	return true, side.Remove()
}
