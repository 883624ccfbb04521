package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"corbie/storage/series"
)

// setAsideDir is where a damaged block is moved that a good one replaces.
const setAsideDir = "set-aside"

// RestoredBlock says what RestoreBlock did.
type RestoredBlock struct {
	Result

	From, To time.Time // the time that the block covers
	Aside    string    // where the damaged block is now; empty: there was none
}

// RestoreBlock brings one block of a data folder back from a backup: block is its path in the data folder, such as "raw/01J…", as verify names it. The
// master must be stopped: the caller holds the lock of the data folder. Nothing is changed before the block in the backup was read and found
// good in every part. It is refused where the one in place is whole, and where its content is in another block by now: it would count twice, or bring
// back what was deleted. The damaged one is moved to set-aside.
func RestoreBlock(ctx context.Context, dir, data, block string, progress Progress) (RestoredBlock, error) {
	r, err := restoreBlock(ctx, dir, data, block, progress)
	if err != nil {
		return r, fmt.Errorf("restore block %s: %w", block, err)
	}
	return r, nil
}

func restoreBlock(ctx context.Context, dir, data, block string, progress Progress) (r RestoredBlock, err error) {
	if err := checkBlockPath(block); err != nil {
		return r, err
	}
	m, err := loadManifest(dir)
	if err != nil {
		return r, err
	}
	made := m.Made
	m.Files = slices.DeleteFunc(m.Files, func(f file) bool { return !strings.HasPrefix(f.Path, block+"/") })
	if len(m.Files) == 0 {
		return r, fmt.Errorf("the backup in %s, made %s, does not have it: the master may have merged it from others since, or made it after that",
			dir, made.Local().Format(time.DateTime))
	}
	if err := m.check(ctx, dir, progress); err != nil {
		return r, err
	}
	place := filepath.Join(data, filepath.FromSlash(block))
	inPlace := true
	if _, err := os.Stat(place); errors.Is(err, fs.ErrNotExist) {
		inPlace = false
	} else if fault, err := series.VerifyBlock(ctx, place, nil); err != nil {
		return r, err
	} else if fault == nil {
		return r, errors.New("the one in the data folder is whole: nothing was changed")
	}
	part := filepath.Join(data, partDir)
	defer func() { err = errors.Join(err, os.RemoveAll(part)) }()
	if err := m.unpackBlock(ctx, dir, part); err != nil {
		return r, err
	}
	fresh := filepath.Join(part, filepath.FromSlash(block))
	if err := r.mayReturn(ctx, data, block, fresh); err != nil {
		return r, err
	}
	if inPlace {
		r.Aside = filepath.Join(data, setAsideDir, strings.ReplaceAll(block, "/", "-")+time.Now().UTC().Format("-20060102T150405"))
		if err := errors.Join(os.MkdirAll(filepath.Dir(r.Aside), 0o750), os.Rename(place, r.Aside)); err != nil {
			return r, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(place), 0o750); err != nil {
		return r, err
	}
	if err := errors.Join(os.Rename(fresh, place), syncDir(filepath.Dir(place))); err != nil {
		return r, err
	}
	r.Result = m.result()
	return r, nil
}

// checkBlockPath refuses what is no path of a block in a data folder.
func checkBlockPath(block string) error {
	folder, name := path.Split(block)
	_, err := ulid.ParseStrict(name)
	folder = strings.TrimSuffix(folder, "/")
	known := folder == rawDir || slices.Contains(sideDirs(), folder) || path.Dir(folder) == importedDir
	if err != nil || !known || path.Clean(block) != block {
		return errors.New("want the path of a block as 'corbie verify' names it, such as raw/01JA2B3C4D5E6F7G8H9JKMNPQR")
	}
	return nil
}

func (m *manifest) unpackBlock(ctx context.Context, dir, part string) error {
	if err := os.RemoveAll(part); err != nil {
		return err
	}
	for i := range m.Files {
		f := &m.Files[i]
		if err := f.unpack(ctx, dir, filepath.Join(part, filepath.FromSlash(f.Path))); err != nil {
			return err
		}
	}
	return nil
}

// blockMeta is what meta.json says of where the content of a block came from.
type blockMeta struct {
	MinTime, MaxTime int64
	Compaction       struct{ Sources []ulid.ULID }
	Rollup           struct{ Replaces ulid.ULID }
}

func readBlockMeta(dir string) (m blockMeta, err error) {
	f, err := os.Open(filepath.Join(dir, "meta.json"))
	if err != nil {
		return m, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	return m, err
}

// mayReturn says why a block must not come back.
func (r *RestoredBlock) mayReturn(ctx context.Context, data, block, fresh string) error {
	fault, err := series.VerifyBlock(ctx, fresh, nil)
	if err != nil {
		return err
	}
	if fault != nil {
		return fmt.Errorf("in the backup it is damaged, too, as it was when that was made: %s", fault.Reason)
	}
	meta, err := readBlockMeta(fresh)
	if err != nil {
		return err
	}
	r.From, r.To = time.UnixMilli(meta.MinTime), time.UnixMilli(meta.MaxTime)
	folder := path.Dir(block)
	others, err := os.ReadDir(filepath.Join(data, filepath.FromSlash(folder)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range others {
		if e.Name() == path.Base(block) || len(e.Name()) != blockName {
			continue
		}
		other, err := readBlockMeta(filepath.Join(data, filepath.FromSlash(folder), e.Name()))
		if err != nil {
			continue // it is damaged itself
		}
		if other.Rollup.Replaces.String() == path.Base(block) || folder == rawDir && holdsAll(other.Compaction.Sources, meta.Compaction.Sources) {
			return fmt.Errorf("what it holds is in the block %s/%s by now: nothing was changed", folder, e.Name())
		}
	}
	return nil
}

// holdsAll says whether some block was made of at least what another was made of.
func holdsAll(sources, of []ulid.ULID) bool {
	for _, one := range of {
		if !slices.Contains(sources, one) {
			return false
		}
	}
	return len(of) > 0
}
