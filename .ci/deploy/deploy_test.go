// Package deploy checks the files of cmd/distproc/deploy as those who read them do.
package deploy

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "cmd", "distproc", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestDockerfile parses the Dockerfile as BuildKit does, without a warning.
func TestDockerfile(t *testing.T) {
	ast, err := parser.Parse(bytes.NewReader(read(t, "Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	lint := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) {
		t.Errorf("%s: %s", rule, message)
	}})
	stages, _, err := instructions.Parse(ast.AST, lint)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range ast.Warnings {
		t.Error(w.Short)
	}
	last := stages[len(stages)-1]
	var user string
	var healthy bool
	for _, c := range last.Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			user = c.User
		case *instructions.HealthCheckCommand:
			healthy = len(c.Health.Test) > 1 && c.Health.Test[0] == "CMD"
		}
	}
	if uid, _, _ := strings.Cut(user, ":"); strings.Trim(uid, "0123456789") != "" || uid == "" || uid == "0" {
		t.Errorf("the user is %q, want a number, so that Kubernetes sees that it is not root", user)
	}
	if !healthy || last.BaseName != "scratch" {
		t.Errorf("the image is from %s, with a health check: %t", last.BaseName, healthy)
	}
}

// TestKubernetes decodes the objects strictly into the types of Kubernetes, and compares what
// must agree.
func TestKubernetes(t *testing.T) {
	var services []corev1.Service
	var budget policyv1.PodDisruptionBudget
	var set appsv1.StatefulSet
	for _, text := range strings.Split(string(read(t, "kubernetes.yaml")), "\n---\n") {
		var meta struct{ Kind, APIVersion string }
		if err := yaml.Unmarshal([]byte(text), &meta); err != nil {
			t.Fatal(err)
		}
		var into any
		switch meta.APIVersion + " " + meta.Kind {
		case "v1 Service":
			services = append(services, corev1.Service{})
			into = &services[len(services)-1]
		case "policy/v1 PodDisruptionBudget":
			into = &budget
		case "apps/v1 StatefulSet":
			into = &set
		default:
			t.Fatalf("an object of %s %s", meta.APIVersion, meta.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Fatalf("%s: %v", meta.Kind, err)
		}
	}
	if len(services) != 2 || len(set.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("%d services and %d containers", len(services), len(set.Spec.Template.Spec.Containers))
	}
	pod := set.Spec.Template
	c := pod.Spec.Containers[0]
	matches := func(selector map[string]string, what string) {
		for key, value := range selector {
			if pod.Labels[key] != value {
				t.Errorf("%s selects %s=%s, the Pods have %v", what, key, value, pod.Labels)
			}
		}
		if len(selector) == 0 {
			t.Errorf("%s selects nothing", what)
		}
	}
	matches(set.Spec.Selector.MatchLabels, "the StatefulSet")
	matches(budget.Spec.Selector.MatchLabels, "the PodDisruptionBudget")
	for _, s := range services {
		matches(s.Spec.Selector, "the service "+s.Name)
	}
	if s := services[0]; s.Name != set.Spec.ServiceName || s.Spec.ClusterIP != "None" || !s.Spec.PublishNotReadyAddresses {
		t.Errorf("the service %s is not headless, or not of the StatefulSet", s.Name)
	}
	ports := map[string]int32{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	if p := services[1].Spec.Ports[0].TargetPort.StrVal; ports[p] == 0 {
		t.Errorf("the service leads to the port %q of none", p)
	}
	for what, probe := range map[string]*corev1.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil || ports[probe.HTTPGet.Port.StrVal] == 0 {
			t.Errorf("the %s probe asks no port of the container", what)
		}
	}
	volumes := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		volumes[v.Name] = true
	}
	for _, v := range set.Spec.VolumeClaimTemplates {
		volumes[v.Name] = true
	}
	for _, m := range c.VolumeMounts {
		if !volumes[m.Name] {
			t.Errorf("no volume %s", m.Name)
		}
	}
	// A node leaves in the delay and twice the timeout for calls, as the program has them by
	// default.
	if sleep := c.Lifecycle.PreStop.Sleep.Seconds; *pod.Spec.TerminationGracePeriodSeconds < sleep+1+2*5+10 {
		t.Errorf("%d s are too short to leave in", *pod.Spec.TerminationGracePeriodSeconds)
	}
	if *set.Spec.Replicas < 3 || budget.Spec.MaxUnavailable.IntVal != 1 {
		t.Error("a majority of the voters may be away")
	}
}

// TestGoreleaser looks at what a release is made of. Goreleaser itself takes longer to build
// than all of the tests: run go run github.com/goreleaser/goreleaser/v2@v2.17.0 check after a
// change.
func TestGoreleaser(t *testing.T) {
	root := filepath.Join("..", "..")
	text, err := os.ReadFile(filepath.Join(root, ".goreleaser.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var release struct {
		Version int
		Builds  []struct {
			Main                     string
			Env, Flags, Goos, Goarch []string
		}
		Archives []struct{ Files []any }
		Checksum struct{ Algorithm string }
		SBOMs    []any
	}
	if err := yaml.Unmarshal(text, &release); err != nil {
		t.Fatal(err)
	}
	if release.Version != 2 || len(release.Builds) != 1 || len(release.Archives) != 1 || len(release.SBOMs) != 1 || release.Checksum.Algorithm != "sha256" {
		t.Fatalf("%+v", release)
	}
	b := release.Builds[0]
	got := strings.Join(b.Goos, " ") + ", " + strings.Join(b.Goarch, " ") + ", " + strings.Join(append(b.Env, b.Flags...), " ")
	if want := "linux darwin windows, amd64 arm64, CGO_ENABLED=0 -trimpath -buildvcs=true"; got != want {
		t.Errorf("builds %s, want %s", got, want)
	}
	paths := []string{b.Main}
	for _, f := range release.Archives[0].Files {
		switch f := f.(type) {
		case string:
			paths = append(paths, f)
		case map[string]any:
			paths = append(paths, f["src"].(string))
		}
	}
	for _, p := range paths {
		if found, err := filepath.Glob(filepath.Join(root, p)); err != nil || len(found) == 0 {
			t.Errorf("there is no %s", p)
		}
	}
}
