"""Sends an H.264 or H.265 mp4 over RTSP at its own pace: server.py FILE CODEC PORT. Prints the port once it listens.

RTSP_USER and RTSP_PASSWORD, if set, are asked for (digest). With RTSP_CERTIFICATE and RTSP_KEY it speaks TLS. Every client gets the file from its start.
"""

import os
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

ROLE = "viewer"


def main() -> None:
    file, codec, port = sys.argv[1:4]
    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f'( filesrc location="{file}" ! qtdemux ! {codec}parse config-interval=-1 ! rtp{codec}pay name=pay0 pt=96 )'
    )
    user, password = os.environ.get("RTSP_USER"), os.environ.get("RTSP_PASSWORD")
    if user is not None:
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", ROLE)
        auth = GstRtspServer.RTSPAuth()
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
        certificate = os.environ.get("RTSP_CERTIFICATE")
        if certificate is not None:
            auth.set_tls_certificate(Gio.TlsCertificate.new_from_files(certificate, os.environ["RTSP_KEY"]))
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_role(ROLE)
        permissions.add_permission_for_role(ROLE, "media.factory.access", True)
        permissions.add_permission_for_role(ROLE, "media.factory.construct", True)
        factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/stream", factory)
    if server.attach(None) == 0:
        sys.exit(f"port {port} cannot be had")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


main()
