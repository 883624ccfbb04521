package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"

	"corbie/munin"
	"corbie/storage/disk"
)

// stored is the form of the file.
type stored struct {
	Version int               `json:"version"`
	Alerts  map[string]*state `json:"alerts"`
}

// loadStates reads the file. One that is damaged is set aside: a master that does not start helps nobody.
func loadStates(path string, log *slog.Logger) (map[string]*state, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return make(map[string]*state), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the alerts of rules: %w", err)
	}
	file := stored{Alerts: make(map[string]*state)}
	if err = json.Unmarshal(text, &file); err == nil && file.Version != 1 {
		err = fmt.Errorf("it is of version %d: want 1", file.Version)
	}
	if err != nil {
		log.Error("the file with the alerts of rules was damaged and is set aside: what is firing is told again", "path", path+".damaged", "err", err)
		if err = os.Rename(path, path+".damaged"); disk.Stuck(err) {
			err = nil // It is written anew as soon as that can be.
		}
		return make(map[string]*state), err
	}
	for key, s := range file.Alerts {
		if s == nil || s.Rule == "" || s.ID.Graph == "" {
			delete(file.Alerts, key)
			continue
		}
		s.restored, s.value = true, math.NaN()
	}
	return file.Alerts, nil
}

// Open reads from the file of a master, which may run, which alerts are firing: the problems of rules in the form of all others. Their values are
// not known.
func Open(path string) ([]munin.AlertState, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	file := stored{}
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	if err != nil {
		return nil, fmt.Errorf("read the alerts of rules in %s: %w", path, err)
	}
	for _, s := range file.Alerts {
		if s != nil {
			s.value = math.NaN()
		}
	}
	return openStates(file.Alerts), nil
}

// saveStates replaces the file; when it returns nil, a crash keeps the new one.
func saveStates(path string, states map[string]*state) error {
	text, err := json.Marshal(stored{Version: 1, Alerts: states})
	if err != nil {
		return fmt.Errorf("save the alerts of rules: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("save the alerts of rules: %w", err)
	}
	if err := replaceFile(path, text); err != nil {
		return fmt.Errorf("save the alerts of rules: %w", err)
	}
	return nil
}

func replaceFile(path string, text []byte) error {
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
