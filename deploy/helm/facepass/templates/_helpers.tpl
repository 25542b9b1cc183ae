{{- define "facepass.labels" -}}
app.kubernetes.io/name: facepass
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "facepass.pod" -}}
automountServiceAccountToken: false
{{- with .Values.pullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "facepass.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "facepass.settings" -}}
{{- range $name, $value := . -}}
- name: {{ $name }}
  value: {{ $value | quote }}
{{ end }}
{{- end }}

{{- /* Of: root, name, service, port, live. */}}
{{- define "facepass.probe" -}}
{{- if .root.Values.probes.exec -}}
exec:
  command: [facepass-server, health, {{ .name }}{{ if .live }}, --live{{ end }}]
{{- else -}}
grpc:
  port: {{ .port }}
  service: {{ ternary "" .service .live | quote }}
{{- end }}
{{- end }}
