/** The host can run the image: `hw_architecture`, `img_hv_type`. Source: Nova's ImagePropertiesFilter. */
import type { Filter } from './filter.ts';

export const imageProperties: Filter = {
  name: 'image properties',
  passes: (host, { imageProperties: wanted }) => {
    const architecture = wanted.hw_architecture ?? wanted.architecture;
    if (architecture !== undefined && architecture !== host.cpuArch) return false;
    const hypervisor = (wanted.img_hv_type ?? wanted.hypervisor_type)?.toLowerCase();
    // Images for KVM run under QEMU without it, as Nova's libvirt driver also says.
    return hypervisor === undefined || hypervisor === 'kvm' || hypervisor === host.hypervisorType.toLowerCase();
  },
};
