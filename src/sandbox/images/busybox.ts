import type { Image } from './image.ts';
import { installed } from './layers.ts';

const layer = installed('busybox', {
  unpack: ['busybox-static'],
  script: `
mkdir -p /image/bin /image/etc /image/root /image/tmp /image/home /image/var/www
cp /usr/bin/busybox /image/bin/busybox
for applet in $(/image/bin/busybox --list); do
  [ "$applet" = busybox ] || ln -s busybox "/image/bin/$applet"
done
echo 'root:x:0:0:root:/root:/bin/sh' > /image/etc/passwd
echo 'nobody:x:65534:65534:nobody:/home:/bin/false' >> /image/etc/passwd
printf 'root:x:0:\\nnogroup:x:65534:\\n' > /image/etc/group
chmod 1777 /image/tmp
`,
  alone: 'image',
});

/** `busybox:1`: one static program with its applets, for containers that only have to be there. */
export const busybox: Image = {
  layers: [layer],
  run: { Cmd: ['sh'] },
  alsoKnownAs: ['library/busybox:1'],
};
