package series

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// QuarantineDir is where unreadable blocks go, inside the folder of the TSDB.
const QuarantineDir = "quarantine"

// Quarantined is a block that could not be read and was set aside, so that the rest can be used.
type Quarantined struct {
	Path   string // where it is now
	Reason string
}

// Quarantined lists what was set aside since Open was called.
func (db *DB) Quarantined() []Quarantined {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return slices.Clone(db.quarantined)
}

// setAsideDamaged moves the blocks that cannot be opened. Without its meta.json a block would be passed over, but the TSDB never
// compacts again; with any other damage the TSDB would not open at all. A block gets its name only when it is
// complete, so this is damage, not an interrupted write.
func (db *DB) setAsideDamaged() error {
	entries, err := os.ReadDir(db.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := ulid.ParseStrict(e.Name()); err != nil || !e.IsDir() {
			continue
		}
		reason, err := db.blockFault(e.Name())
		if err != nil {
			return err
		}
		if reason == "" {
			continue
		}
		if err := db.setAside(e.Name(), reason); err != nil {
			return err
		}
	}
	return nil
}

// blockFault says what is wrong with a block, empty when nothing is that shows without reading it all. The error means that it could
// not be found out: that comes from the machine (no permission, too many open files, no memory, a failing disk), and is no reason to
// set a block aside.
func (db *DB) blockFault(name string) (string, error) {
	dir := filepath.Join(db.dir, name)
	if reason, err := metaFault(dir, name); err != nil || reason != "" {
		return reason, err
	}
	block, err := tsdb.OpenBlock(quiet(db.log), dir, chunkenc.NewPool(), tsdb.DefaultPostingsDecoderFactory)
	if err == nil {
		return "", block.Close()
	}
	if ofTheMachine(err) {
		return "", err
	}
	return err.Error(), nil
}

// ofTheMachine tells the errors that say nothing about the file.
func ofTheMachine(err error) bool {
	for _, machine := range []error{
		fs.ErrPermission, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.EROFS,
	} {
		if errors.Is(err, machine) {
			return true
		}
	}
	return false
}

// metaFault says what is wrong with the meta.json of a block, empty when nothing is. The error means that it could not be
// found out.
func metaFault(block, name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(block, "meta.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return "meta.json is missing", nil
	}
	if err != nil {
		return "", err
	}
	var meta struct {
		Version int    `json:"version"`
		ULID    string `json:"ulid"`
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return "meta.json is damaged: " + err.Error(), nil
	}
	if meta.ULID != name || meta.Version != 1 {
		return fmt.Sprintf("meta.json is of block %q, version %d", meta.ULID, meta.Version), nil
	}
	return "", nil
}

func (db *DB) setAside(name, reason string) error {
	target := filepath.Join(db.dir, QuarantineDir, name)
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return fmt.Errorf("set block %s aside: %w", name, err)
	}
	if err := os.Rename(filepath.Join(db.dir, name), target); err != nil {
		return fmt.Errorf("set block %s aside: %w", name, err)
	}
	db.quarantined = append(db.quarantined, Quarantined{Path: target, Reason: reason})
	db.log.Error("damaged block set aside: its samples are missing from graphs, everything else is used",
		"block", name, "path", target, "reason", reason)
	return nil
}
