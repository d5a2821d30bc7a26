"""The check digits of national numbers, from the package python-stdnum, by its country and name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from stdnum.at import vnr as at_vnr
from stdnum.au import tfn as au_tfn
from stdnum.be import nn as be_nn
from stdnum.bg import egn as bg_egn
from stdnum.br import cnpj as br_cnpj
from stdnum.br import cpf as br_cpf
from stdnum.ca import sin as ca_sin
from stdnum.ch import ssn as ch_ssn
from stdnum.cl import rut as cl_rut
from stdnum.cn import ric as cn_ric
from stdnum.cz import rc as cz_rc
from stdnum.de import idnr as de_idnr
from stdnum.dk import cpr as dk_cpr
from stdnum.ee import ik as ee_ik
from stdnum.es import cif as es_cif
from stdnum.es import dni as es_dni
from stdnum.es import nie as es_nie
from stdnum.eu import vat as eu_vat
from stdnum.fi import hetu as fi_hetu
from stdnum.fr import nir as fr_nir
from stdnum.gb import nhs as gb_nhs
from stdnum.gr import amka as gr_amka
from stdnum.hr import oib as hr_oib
from stdnum.ie import pps as ie_pps
from stdnum.il import idnr as il_idnr
from stdnum.in_ import aadhaar as in_aadhaar
from stdnum.in_ import pan as in_pan
from stdnum.is_ import kennitala as is_kennitala
from stdnum.it import codicefiscale as it_codicefiscale
from stdnum.kr import rrn as kr_rrn
from stdnum.lt import asmens as lt_asmens
from stdnum.mx import curp as mx_curp
from stdnum.mx import rfc as mx_rfc
from stdnum.nl import bsn as nl_bsn
from stdnum.no import fodselsnummer as no_fodselsnummer
from stdnum.pl import nip as pl_nip
from stdnum.pl import pesel as pl_pesel
from stdnum.pt import nif as pt_nif
from stdnum.ro import cnp as ro_cnp
from stdnum.se import personnummer as se_personnummer
from stdnum.tr import tckimlik as tr_tckimlik
from stdnum.us import itin as us_itin
from stdnum.za import idnr as za_idnr

CHECKS: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "at.vnr": at_vnr.is_valid,
        "au.tfn": au_tfn.is_valid,
        "be.nn": be_nn.is_valid,
        "bg.egn": bg_egn.is_valid,
        "br.cnpj": br_cnpj.is_valid,
        "br.cpf": br_cpf.is_valid,
        "ca.sin": ca_sin.is_valid,
        "ch.ssn": ch_ssn.is_valid,
        "cl.rut": cl_rut.is_valid,
        "cn.ric": cn_ric.is_valid,
        "cz.rc": cz_rc.is_valid,
        "de.idnr": de_idnr.is_valid,
        "dk.cpr": dk_cpr.is_valid,
        "ee.ik": ee_ik.is_valid,
        "es.cif": es_cif.is_valid,
        "es.dni": es_dni.is_valid,
        "es.nie": es_nie.is_valid,
        "eu.vat": eu_vat.is_valid,
        "fi.hetu": fi_hetu.is_valid,
        "fr.nir": fr_nir.is_valid,
        "gb.nhs": gb_nhs.is_valid,
        "gr.amka": gr_amka.is_valid,
        "hr.oib": hr_oib.is_valid,
        "ie.pps": ie_pps.is_valid,
        "il.idnr": il_idnr.is_valid,
        "in_.aadhaar": in_aadhaar.is_valid,
        "in_.pan": in_pan.is_valid,
        "is_.kennitala": is_kennitala.is_valid,
        "it.codicefiscale": it_codicefiscale.is_valid,
        "kr.rrn": kr_rrn.is_valid,
        "lt.asmens": lt_asmens.is_valid,
        "mx.curp": mx_curp.is_valid,
        "mx.rfc": mx_rfc.is_valid,
        "nl.bsn": nl_bsn.is_valid,
        "no.fodselsnummer": no_fodselsnummer.is_valid,
        "pl.nip": pl_nip.is_valid,
        "pl.pesel": pl_pesel.is_valid,
        "pt.nif": pt_nif.is_valid,
        "ro.cnp": ro_cnp.is_valid,
        "se.personnummer": se_personnummer.is_valid,
        "tr.tckimlik": tr_tckimlik.is_valid,
        "us.itin": us_itin.is_valid,
        "za.idnr": za_idnr.is_valid,
    }
)
