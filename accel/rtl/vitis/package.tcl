# SPDX-License-Identifier: Apache-2.0
# Packages ese_channel as a Vitis kernel. It has not been run with the vendor's tools (README.md).
#
#     vivado -mode batch -source package.tcl -tclargs RTL_DIR KERNEL_XML BUILD_DIR
lassign $argv rtl kernel_xml build
if {$build eq ""} { error "usage: package.tcl RTL_DIR KERNEL_XML BUILD_DIR" }
set ip $build/ip

create_project -force ese_channel $build/project -part xcu250-figd2104-2L-e
add_files -norecurse [glob $rtl/ese_*.sv $rtl/ese_*.svh]
add_files -fileset constrs_1 -norecurse $rtl/vitis/memories.xdc
set_property top ese_channel [current_fileset]
update_compile_order -fileset sources_1  ;# reads ese_pkg.sv before its users

ipx::package_project -root_dir $ip -vendor ese -library kernel -taxonomy /KernelIP -import_files \
  -set_current true
set core [ipx::current_core]
set_property name ese_channel $core
set_property version 1.0 $core
foreach parameter [ipx::get_user_parameters -of_objects $core] {
  ipx::remove_user_parameter [get_property NAME $parameter] $core
}
set_property sdx_kernel true $core
set_property sdx_kernel_type rtl $core
set_property supported_families {} $core
set_property auto_family_support_level level_2 $core
# Vivado infers the interfaces from the names of the ports.
foreach interface [ipx::get_bus_interfaces -of_objects $core] {
  set name [get_property NAME $interface]
  if {[string match -nocase *_axi_* $name]} {
    ipx::associate_bus_interfaces -busif $name -clock ap_clk $core
  }
}
ipx::create_xgui_files $core
ipx::update_checksums $core
ipx::check_integrity -kernel $core
ipx::save_core $core
close_project

package_xo -force -xo_path $build/ese_channel.xo -kernel_name ese_channel -ip_directory $ip \
  -kernel_xml $kernel_xml
