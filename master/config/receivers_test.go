package config_test

import (
	"strings"
	"testing"
)

func TestMailsHavePicturesUnlessTheReceiverSaysNo(t *testing.T) {
	text := "receivers: [{name: ops, email: {to: a@example.com, from: b@example.com, smarthost: \"mail:25\"PICTURES}}]"
	for said, want := range map[string]bool{"": true, ", pictures: yes": true, ", pictures: no": false} {
		if got := parse(t, strings.Replace(text, "PICTURES", said, 1)).Receivers[0].Email.Pictures; got != want {
			t.Errorf("%q: pictures %v, want %v", said, got, want)
		}
	}
	if got := parseError(t, strings.Replace(text, "PICTURES", ", pictures: some", 1)); !strings.Contains(got, `"some"`) {
		t.Error(got)
	}
}
