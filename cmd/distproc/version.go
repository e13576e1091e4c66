package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/distproc/distproc/wire"
)

// A build describes this program, as far as the Go command recorded it.
type build struct {
	Version  string    `json:"version"`            // of the module, such as v1.2.3, or devel
	Commit   string    `json:"commit,omitempty"`   // 40 hexadecimal digits
	Date     string    `json:"date,omitempty"`     // of the commit, by RFC 3339 in UTC
	Modified bool      `json:"modified,omitempty"` // with changes that are not in the commit
	Protocol [2]uint16 `json:"protocol"`           // the lowest and the highest version spoken
	Go       string    `json:"go"`
	OS       string    `json:"os"`
	Arch     string    `json:"arch"`
}

// thisBuild returns what is known of this program. A build by go install of a version has
// no commit, unless the version has one; a build in a clone has one.
func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return describeBuild(info)
}

func describeBuild(info *debug.BuildInfo) build {
	lowest, highest := wire.Versions()
	b := build{Version: "devel", Protocol: [2]uint16{lowest, highest}, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Date = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	if v := strings.TrimSuffix(info.Main.Version, "+dirty"); v != "" && v != "(devel)" {
		b.Version = v
	}
	if b.Commit == "" {
		b.Commit, b.Date = ofPseudoVersion(b.Version)
	}
	return b
}

// ofPseudoVersion returns what a version like v0.0.0-20260101000000-0123456789ab says of
// its commit, of which it has 12 digits.
func ofPseudoVersion(version string) (commit, date string) {
	parts := strings.Split(version, "-")
	if n := len(parts); n >= 3 && len(parts[n-1]) == 12 {
		stamp := parts[n-2][strings.LastIndex(parts[n-2], ".")+1:] // after "0." or "pre.0."
		if t, err := time.Parse("20060102150405", stamp); err == nil {
			return parts[n-1], t.Format(time.RFC3339)
		}
	}
	return "", ""
}

// String returns one line, such as
//
//	v1.2.3 (0123456789ab, 2026-01-02, protocol 1-2, go1.26.0, linux/amd64)
func (b build) String() string {
	var details []string
	if b.Commit != "" {
		details = append(details, b.Commit[:min(12, len(b.Commit))])
	}
	if day, _, ok := strings.Cut(b.Date, "T"); ok {
		details = append(details, day)
	}
	details = append(details, fmt.Sprintf("protocol %d-%d", b.Protocol[0], b.Protocol[1]), b.Go, b.OS+"/"+b.Arch)
	s := fmt.Sprintf("%s (%s)", b.Version, strings.Join(details, ", "))
	if b.Modified {
		s += " (modified)"
	}
	return s
}

// version is what members, metrics and shells call this program.
func version() string {
	b := thisBuild()
	v := b.Version
	if v == "devel" && b.Commit != "" {
		v += " " + b.Commit[:min(12, len(b.Commit))]
	}
	return v + " " + b.Go
}

func versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print version, commit, date, Go version and system",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !asJSON {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "distproc", thisBuild())
				return err
			}
			return json.NewEncoder(cmd.OutOrStdout()).Encode(thisBuild())
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object with version, commit, date, modified, protocol, go, os and arch")
	return cmd
}
