package backup

// ParseManifest is for the fuzz test.
func ParseManifest(text []byte) (paths []string, err error) {
	m, err := parseManifest(text)
	if err != nil {
		return nil, err
	}
	for _, f := range m.Files {
		paths = append(paths, f.Path)
	}
	return paths, nil
}
